/** The map's colours: the page's own, read from its style sheet, so that both themes hold for canvas too. */

import { signal } from "@preact/signals";

export interface Palette {
  accent: string;
  accent2: string;
  ink: string;
  soft: string;
  grid: string;
  map: string;
  land: string;
  coast: string;
  fill: string;
  paper: string;
}

function read(): Palette {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    accent: of("accent"),
    accent2: of("accent2"),
    ink: of("ink"),
    soft: of("soft"),
    grid: of("map-grid"),
    map: of("map"),
    land: of("map-land"),
    coast: of("map-coast"),
    fill: of("map-fill"),
    paper: of("paper"),
  };
}

export const palette = signal<Palette>(read());

export type Theme = "auto" | "light" | "dark";
const KEY = "geofuse-theme";

function stored(): Theme {
  const said = localStorage.getItem(KEY);
  return said === "light" || said === "dark" ? said : "auto";
}

export const theme = signal<Theme>(stored());

export function setTheme(next: Theme): void {
  theme.value = next;
  if (next === "auto") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, next);
  apply();
}

function apply(): void {
  const root = document.documentElement;
  if (theme.peek() === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme.peek();
  palette.value = read();
}

export function startTheme(): void {
  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
}
