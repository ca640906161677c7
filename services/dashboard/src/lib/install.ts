/** How each client is connected to this server. Each entry is what its own documentation asks for. */
export type Client = { id: string; name: string; kind: "command" | "config" | "link"; where: string; text: string };

type Server = { url: string; user: string; token?: string | undefined };

const shell = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
const json = (value: unknown) => JSON.stringify(value, null, 2);

export function clients({ url, user, token }: Server): Client[] {
  const name = encodeURIComponent(user);
  const sse = (client: string) => `${url}/mcp/${client}/sse/${name}`;
  const http = (client: string) => `${url}/mcp/${client}/http/${name}`;
  const header = token ? `Authorization: Bearer ${token}` : null;
  const headers = token ? { headers: { Authorization: `Bearer ${token}` } } : {};
  const installMcp = (client: string) =>
    `npx install-mcp ${shell(sse(client))} --client ${client}${header ? ` --header ${shell(header)}` : ""}`;
  const viaInstaller = (id: string, label: string): Client => ({
    id,
    name: label,
    kind: "command",
    where: `In a terminal, then restart ${label}`,
    text: installMcp(id),
  });
  return [
    { id: "link", name: "MCP Link", kind: "link", where: "For any MCP client", text: sse("openmemory") },
    viaInstaller("claude", "Claude"),
    viaInstaller("cursor", "Cursor"),
    viaInstaller("cline", "Cline"),
    viaInstaller("roo-cline", "Roo Cline"),
    viaInstaller("windsurf", "Windsurf"),
    viaInstaller("witsy", "Witsy"),
    viaInstaller("enconvo", "Enconvo"),
    viaInstaller("augment", "Augment"),
    {
      id: "vscode",
      name: "VS Code",
      kind: "config",
      where: "In .vscode/mcp.json of a workspace, or in the user's mcp.json",
      text: json({ servers: { memlog: { type: "http", url: http("vscode"), ...headers } } }),
    },
    {
      id: "claude-code",
      name: "Claude Code",
      kind: "command",
      where: "In a terminal",
      text: `claude mcp add -s user -t http memlog ${shell(http("claude"))}${header ? ` -H ${shell(header)}` : ""}`,
    },
    {
      id: "codex",
      name: "Codex",
      kind: "config",
      where: "In ~/.codex/config.toml",
      text: [
        "[mcp_servers.memlog]",
        `url = ${JSON.stringify(http("codex"))}`,
        ...(token ? [`http_headers = { Authorization = ${JSON.stringify(`Bearer ${token}`)} }`] : []),
      ].join("\n"),
    },
    {
      id: "gemini",
      name: "Gemini CLI",
      kind: "config",
      where: "In ~/.gemini/settings.json",
      text: json({ mcpServers: { memlog: { httpUrl: http("gemini"), ...headers } } }),
    },
  ];
}
