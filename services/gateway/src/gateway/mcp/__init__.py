"""MCP: the tools, over Streamable HTTP and HTTP+SSE, for both revisions."""
