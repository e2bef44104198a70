/** The door where the server asks for a token. */

import { useEffect, useRef, useState } from "preact/hooks";

import { Fault } from "../api.ts";
import { signIn, signingIn } from "../store.ts";

export function SignIn() {
  const field = useRef<HTMLInputElement>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => field.current?.focus(), []);

  const send = async (event: Event) => {
    event.preventDefault();
    const token = field.current?.value.trim() ?? "";
    if (!token) return setTrouble("Paste your token first.");
    setBusy(true);
    setTrouble(null);
    try {
      await signIn(token);
    } catch (fault) {
      setTrouble(fault instanceof Fault && fault.status === 401 ? "This token is not valid, or it has expired." : String((fault as Error).message));
      setBusy(false);
      field.current?.select();
    }
  };
  return (
    <main class="alone">
      <form class="signin" onSubmit={(event) => void send(event)}>
        <h1>Sign in</h1>
        <p>{signingIn.value ? "Internal scenes are shown to people who have a token." : "This catalogue is shared with people who have a token."} Ask whoever runs it for yours.</p>
        <label for="token">Token</label>
        <input id="token" ref={field} type="password" autocomplete="current-password" spellcheck={false} aria-invalid={trouble !== null} aria-describedby="trouble" />
        <p id="trouble" class="wrong" role="alert">{trouble}</p>
        <button type="submit" class="button strong" disabled={busy}>{busy ? "Signing in…" : "Sign in"}</button>
        {signingIn.value && <button type="button" class="button" onClick={() => (signingIn.value = false)}>Back to the scenes</button>}
      </form>
    </main>
  );
}
