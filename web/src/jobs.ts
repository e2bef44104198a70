/** Clips under way: asked for, watched, kept over a reload of the page. */

import { signal } from "@preact/signals";

import { api, Fault } from "./api.ts";
import { say } from "./store.ts";
import type { ClipRequest, Job } from "./types.ts";

const KEY = "geofuse-jobs";
const KEPT = 12;

export interface Watched {
  item: string;
  label: string;
  job: Job;
  fault: string | null;
}

function stored(): Watched[] {
  try {
    const said: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(said) ? (said as Watched[]) : [];
  } catch {
    return [];
  }
}

export const jobs = signal<Watched[]>(stored());
const busy = (job: Job) => job.state === "queued" || job.state === "running";

function put(next: Watched): void {
  const others = jobs.peek().filter((one) => one.job.id !== next.job.id);
  const place = jobs.peek().findIndex((one) => one.job.id === next.job.id);
  const list = place < 0 ? [next, ...others] : others.toSpliced(place, 0, next);
  jobs.value = list.slice(0, KEPT);
  sessionStorage.setItem(KEY, JSON.stringify(jobs.peek()));
}

export async function startClip(request: ClipRequest, label: string): Promise<void> {
  const job = await api.clip(request);
  put({ item: request.item, label, job, fault: null });
  void watch(job.id, 250);
}

export function resumeJobs(): void {
  for (const one of jobs.peek()) if (busy(one.job)) void watch(one.job.id, 0);
}

const watching = new Set<string>();

async function watch(id: string, pause: number): Promise<void> {
  if (watching.has(id)) return;
  watching.add(id);
  let wait = pause;
  for (;;) {
    await new Promise((go) => setTimeout(go, wait));
    const known = jobs.peek().find((one) => one.job.id === id);
    if (!known) break;
    try {
      const job = await api.job(id);
      put({ ...known, job, fault: null });
      if (!busy(job)) {
        say(job.state === "done" ? `Clip ready: ${job.filename ?? known.label}` : `Clip ${job.state}`);
        break;
      }
    } catch (fault) {
      const gone = fault instanceof Fault && (fault.status === 404 || fault.status === 410);
      const text = gone ? "The server no longer has this clip." : (fault as Error).message;
      put({ ...known, fault: text, job: gone ? { ...known.job, state: "failed" } : known.job });
      if (gone) break;
    }
    wait = Math.min(2000, Math.max(300, wait * 1.5));
  }
  watching.delete(id);
}

export async function dropJob(one: Watched): Promise<void> {
  jobs.value = jobs.peek().filter((other) => other.job.id !== one.job.id);
  sessionStorage.setItem(KEY, JSON.stringify(jobs.peek()));
  await api.cancel(one.job.id).catch(() => undefined);
}
