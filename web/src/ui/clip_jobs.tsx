/** The clips that were asked for, as they are made and when they are done. */

import { address } from "../api.ts";
import { bytes } from "../format.ts";
import { dropJob, jobs, type Watched } from "../jobs.ts";
import { Section } from "./controls.tsx";
import { Icon } from "./icons.tsx";

export function ClipJobs({ item }: { item: string }) {
  const mine = jobs.value.filter((one) => one.item === item);
  if (mine.length === 0) return null;
  return (
    <Section title="Clips">
      <ul class="jobs">{mine.map((one) => <JobLine key={one.job.id} one={one} />)}</ul>
    </Section>
  );
}

function JobLine({ one }: { one: Watched }) {
  const { job } = one;
  const busy = job.state === "queued" || job.state === "running";
  const share = Math.round(job.progress * 100);
  return (
    <li class={`job ${job.state}`}>
      <div class="jobhead"><b>{job.filename ?? one.label}</b><span>{job.state === "done" ? bytes(job.bytes) : job.state === "queued" ? "waiting" : busy ? `${share} %` : job.state}</span></div>
      {busy && <progress max="100" value={job.state === "queued" ? undefined : share} aria-label={`Progress of ${one.label}`} />}
      {(one.fault ?? (job.state === "failed" ? job.message : null)) && <p class="wrong">{one.fault ?? job.message}</p>}
      <div class="jobfoot">
        <span class="quiet">{one.label}</span>
        {job.state === "done" && job.url && <a class="button small strong" href={address(job.url)} download={job.filename ?? ""}><Icon name="download" size={16} />Download</a>}
        <button type="button" class="textbutton" onClick={() => void dropJob(one)}>{busy ? "Cancel" : "Remove"}</button>
      </div>
    </li>
  );
}
