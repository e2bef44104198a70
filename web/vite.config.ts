import { defineConfig } from "vite";

const server = "http://127.0.0.1:8080";

/** One script, one style sheet, relative addresses: the page works behind any path and asks nobody else. */
export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
    license: { fileName: "assets/licences.md" },
  },
  server: { proxy: Object.fromEntries(["/api", "/stac", "/xyz", "/wmts", "/ogc"].map((path) => [path, server])) },
});
