/** How good the product is: the verdict, the numbers, the report. */

import { marked, metricOf, significant } from "../format.ts";
import { config } from "../store.ts";
import type { Detail, Metric } from "../types.ts";
import { Section, Verdict } from "./controls.tsx";
import { Icon } from "./icons.tsx";

/** D_λ^K with its index below and its power above. */
function Symbol({ text }: { text: string }) {
  return (
    <>
      {text.split(/(\p{L}[\p{L}\p{N}]*(?:[_^][\p{L}\p{N}])+)/u).map((part, at) => (at % 2 === 0 ? part : <i key={at} class="symbol"><Marked text={part} /></i>))}
    </>
  );
}

function Marked({ text }: { text: string }) {
  return <>{marked(text).map((part, at) => (part.place === "sub" ? <sub key={at}>{part.text}</sub> : part.place === "sup" ? <sup key={at}>{part.text}</sup> : part.text))}</>;
}

interface Line {
  metric: Metric;
  value: number;
}

/** What an item brings of the metrics the server knows, each once, in the server's order. */
function linesOf(quality: Detail["quality"], rows: readonly Metric[]): Line[] {
  const found = new Map<string, Line>();
  for (const [name, value] of Object.entries(quality ?? {})) {
    const metric = metricOf(rows, name);
    if (metric && typeof value === "number") found.set(metric.name, { metric, value });
  }
  return rows.flatMap((row) => found.get(row.name) ?? []);
}

export function QualityTab({ scene }: { scene: Detail }) {
  const known = linesOf(scene.quality, config.value?.metrics ?? []);
  const said = scene.item.properties["geofuse:verdict_reasons"];
  const reasons = Array.isArray(said) ? said.map(String) : [];
  return (
    <>
      <Section title="Quality" aside={<Verdict verdict={scene.verdict} />}>
        {known.length === 0 ? (
          <p class="quiet">This product was published without an assessment.</p>
        ) : (
          <table class="metrics">
            <thead><tr><th scope="col">Metric</th><th scope="col" class="n">Value</th><th scope="col" class="n">Best</th></tr></thead>
            <tbody>
              {known.map(({ metric, value }) => (
                <tr key={metric.name}>
                  <th scope="row"><Symbol text={metric.label} />{metric.unit && ` ${metric.unit}`}<span><Symbol text={metric.phrase} />{metric.package !== "geofuse" && ` ${metric.package} ${metric.version}`}</span></th>
                  <td class="n">{significant(value)}</td>
                  <td class="n quiet">{metric.best}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {reasons.length > 0 && <ul class="warnings">{reasons.map((text) => <li key={text}>{text}</li>)}</ul>}
        {known.length > 0 && <p class="quiet">Read several together: each of them can be fooled alone.</p>}
      </Section>
      {scene.report && (
        <Section title="Report">
          <p>Before and after, the worst places, maps of the errors, every band.</p>
          <a class="button" href={scene.report.replace(/^\//, "")} target="_blank" rel="noopener"><Icon name="out" size={18} />Open the quality report</a>
        </Section>
      )}
    </>
  );
}
