/** The page begins here. */

import "ol/ol.css";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/parts.css";

import { render } from "preact";

import { startTheme } from "./map/palette.ts";
import { start } from "./store.ts";
import { App } from "./ui/app.tsx";

startTheme();
const root = document.getElementById("app");
if (root) render(<App />, root);
void start();
