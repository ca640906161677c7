"""MCP: the tools, and Streamable HTTP for both revisions."""
