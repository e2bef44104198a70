/** The page's frame: header, panel, map. */

import { computed } from "@preact/signals";

import { config, loadSession, sceneId, scenes, session, sheet, signedIn, signingIn, signOut, spoken } from "../store.ts";
import { setTheme, theme, type Theme } from "../map/palette.ts";
import { IconButton, Trouble } from "./controls.tsx";
import { Catalog } from "./catalog.tsx";
import { Mark } from "./icons.tsx";
import { MapArea } from "./maparea.tsx";
import { ScenePanel } from "./scene.tsx";
import { Sheet } from "./sheet.tsx";
import { SignIn } from "./signin.tsx";

const THEMES: { id: Theme; icon: "auto" | "sun" | "moon"; label: string }[] = [
  { id: "auto", icon: "auto", label: "Theme: as the system" },
  { id: "light", icon: "sun", label: "Theme: light" },
  { id: "dark", icon: "moon", label: "Theme: dark" },
];

/** Who sees internal scenes already has nothing to sign in for. */
const trusted = computed(() => scenes.value.state === "ready" && scenes.value.value.features.some((one) => one.properties.access === "internal"));

export function App() {
  const said = session.value;
  const asking = signingIn.value;
  return (
    <>
      <a class="skip" href="#panel" onClick={(event) => { event.preventDefault(); document.getElementById("panel")?.focus(); }}>Skip to the list</a>
      <Header />
      {said.state === "failed" && <div class="alone"><Trouble fault={said.fault} retry={() => void loadSession()} /></div>}
      {(asking || (said.state === "ready" && !signedIn.value)) && <SignIn />}
      {said.state !== "failed" && !asking && (said.state === "loading" || signedIn.value) && <Main />}
      <div class="aside" role="status" aria-live="polite">{spoken.value}</div>
    </>
  );
}

function Main() {
  return (
    <main class={`main ${sceneId.value ? "withscene" : ""}`} data-sheet={sheet.value}>
      <Sheet>{sceneId.value ? <ScenePanel key={sceneId.value} /> : <Catalog />}</Sheet>
      <MapArea />
    </main>
  );
}

function Header() {
  const at = THEMES.findIndex((one) => one.id === theme.value);
  const now = THEMES[at] ?? THEMES[0]!;
  const next = THEMES[(at + 1) % THEMES.length] ?? THEMES[0]!;
  const user = session.value.state === "ready" ? session.value.value : null;
  const title = config.value?.title;
  return (
    <header class="header">
      <a class="brand" href="#/" aria-label="geofuse, all scenes"><Mark /><b>geofuse</b></a>
      {title && title !== "geofuse" && <span class="title">{title}</span>}
      <span class="space" />
      {user && !user.required && !user.authenticated && !signingIn.value && !trusted.value && (
        <button type="button" class="textbutton" onClick={() => (signingIn.value = true)}>Sign in</button>
      )}
      {user?.authenticated && (
        <span class="user"><span>{user.user}</span><IconButton icon="leave" label="Sign out" onClick={() => void signOut()} /></span>
      )}
      <IconButton icon={now.icon} label={`${now.label}; press for ${next.label.slice(7)}`} onClick={() => setTheme(next.id)} />
    </header>
  );
}
