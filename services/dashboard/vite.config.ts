import tailwind from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `make ui` says where the gateway is that the development server hands requests on to.
const gateway = process.env.MEMLOG_URL ?? "http://127.0.0.1:8765";

export default defineConfig({
  plugins: [react(), tailwind()],
  // The gateway puts a fresh nonce in its place with every answer (Content-Security-Policy).
  html: { cspNonce: "__CSP_NONCE__" },
  build: {
    outDir: "../gateway/src/gateway/dashboard_files",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: "es2022",
    // What several pages share is one file: twenty small ones take longer than the page itself.
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: "shared", test: /\/src\/|radix-ui|lucide/, minShareCount: 2 }] } },
    },
  },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/mcp", "/livez", "/readyz", "/.well-known", "/openapi.json"].map((path) => [
        path,
        // Its own origin, since the gateway refuses writes that come from others.
        { target: gateway, changeOrigin: true, headers: { Origin: new URL(gateway).origin } },
      ]),
    ),
  },
});
