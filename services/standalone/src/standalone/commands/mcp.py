"""`memlog mcp`: MCP on stdin and stdout."""

from typing import Annotated

import typer

from standalone.commands.options import HomeOption, UrlOption, running_url


def mcp(
    client: Annotated[str, typer.Option(help="The client's name: the app that its memories are filed under.")],
    user: Annotated[str, typer.Option(envvar="MEMLOG_DEFAULT_USER", help="Whose memories.")] = "default",
    home: HomeOption = None,
    url: UrlOption = None,
) -> None:
    """Speak MCP on stdin and stdout, for clients that only start processes. Needs a running Memlog.

    Examples:

      memlog mcp --client zed

      memlog mcp --client zed --user ada --url http://127.0.0.1:9000
    """
    from standalone.stdio import run_stdio

    run_stdio(lambda: url or running_url(home), client, user)
