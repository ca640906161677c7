"""`memlog mcp`: MCP on stdin and stdout."""

from typing import Annotated

import typer

from standalone.commands.options import HomeOption, UrlOption, or_of_file, running_url


def mcp(
    client: Annotated[
        str | None,
        typer.Option(help="The client's name: the app that its memories are filed under.", show_default="the token's"),
    ] = None,
    user: Annotated[str, typer.Option(envvar="MEMLOG_DEFAULT_USER", help="Whose memories.")] = "default",
    home: HomeOption = None,
    url: UrlOption = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MEMLOG_TOKEN",
            callback=or_of_file,
            help="The client's token, where Memlog asks for one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Speak MCP on stdin and stdout, for clients that only start processes. Needs a running Memlog.

    Examples:

      memlog mcp --client zed

      memlog mcp --client zed --user ada --url http://127.0.0.1:9000

      MEMLOG_TOKEN=memlog_… memlog mcp
    """
    from standalone.stdio import run_stdio

    if client is None and token is None:
        raise typer.BadParameter(
            "say which client it is; or set MEMLOG_TOKEN, which says it: memlog token issue --app CLIENT",
            param_hint="--client",
        )
    run_stdio(lambda: url or running_url(home), client, user, token)
