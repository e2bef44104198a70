import { readFileSync } from "node:fs";

import { defineConfig, type Plugin } from "vite";

const server = "http://127.0.0.1:8080";

/** The licences of what is served but is no code: the typeface, and the outlines of land. */
function otherLicences(): Plugin {
  const packages = ["@fontsource-variable/inter", "world-atlas"];
  const text = packages.map((name) => `## ${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8")}`).join("\n");
  return {
    name: "other-licences",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "assets/licences-other.md", source: text });
    },
  };
}

/** One script, one style sheet, relative addresses: the page works behind any path and asks nobody else. */
export default defineConfig({
  base: "./",
  plugins: [otherLicences()],
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
