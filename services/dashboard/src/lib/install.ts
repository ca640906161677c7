/** How each client is connected to this server. Each entry is what its own documentation asks for. */
import { shell } from "./shell";

export type Client = {
  id: string;
  name: string;
  /** The app that it is here, by the path: what a token for it has to be issued for. */
  app: string;
  where: string;
  text: string;
  /** What has to be sent with each request, where the text has no place for it. */
  header?: string | undefined;
};

type Server = { url: string; user: string; token?: string | undefined };

const json = (value: unknown) => JSON.stringify(value, null, 2);

export function clients({ url, user, token }: Server): Client[] {
  const name = encodeURIComponent(user);
  const sse = (client: string) => `${url}/mcp/${client}/sse/${name}`;
  const http = (client: string) => `${url}/mcp/${client}/http/${name}`;
  const header = token ? `Authorization: Bearer ${token}` : null;
  const headers = token ? { headers: { Authorization: `Bearer ${token}` } } : {};
  // It would ask whether OAuth is wanted, and name the server after its host.
  const installMcp = (client: string) =>
    `npx install-mcp ${shell(sse(client))} --client ${client} --name memlog --oauth no${header ? ` --header ${shell(header)}` : ""}`;
  const viaInstaller = (id: string, label: string): Client => ({
    id,
    name: label,
    app: id,
    where: `In a terminal, then restart ${label}`,
    text: installMcp(id),
  });
  return [
    {
      id: "link",
      name: "MCP Link",
      app: "openmemory",
      where: "For any MCP client",
      text: sse("openmemory"),
      header: header ?? undefined,
    },
    viaInstaller("claude", "Claude"),
    viaInstaller("cursor", "Cursor"),
    viaInstaller("cline", "Cline"),
    viaInstaller("roo-cline", "Roo Cline"),
    viaInstaller("windsurf", "Windsurf"),
    viaInstaller("witsy", "Witsy"),
    viaInstaller("enconvo", "Enconvo"),
    {
      id: "augment",
      name: "Augment",
      app: "augment",
      where: "In Augment's settings, MCP, Import from JSON; for Auggie in ~/.augment/settings.json",
      text: json({ mcpServers: { memlog: { type: "http", url: http("augment"), ...headers } } }),
    },
    {
      id: "vscode",
      name: "VS Code",
      app: "vscode",
      where: "In .vscode/mcp.json of a workspace, or in the user's mcp.json",
      text: json({ servers: { memlog: { type: "http", url: http("vscode"), ...headers } } }),
    },
    {
      id: "claude-code",
      name: "Claude Code",
      app: "claude",
      where: "In a terminal",
      text: `claude mcp add -s user -t http memlog ${shell(http("claude"))}${header ? ` -H ${shell(header)}` : ""}`,
    },
    {
      id: "codex",
      name: "Codex",
      app: "codex",
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
      app: "gemini",
      where: "In ~/.gemini/settings.json",
      text: json({ mcpServers: { memlog: { httpUrl: http("gemini"), ...headers } } }),
    },
  ];
}
