/** How good the product is: the verdict, the numbers, the report. */

import { METRICS, significant } from "../format.ts";
import type { Detail } from "../types.ts";
import { Section, Verdict } from "./controls.tsx";
import { Icon } from "./icons.tsx";

/** D_λᴷ with its index below and its power above. */
function Symbol({ text }: { text: string }) {
  const parts = text.split(/D_(λᴷ|λ|S|ρ)/);
  return <>{parts.map((part, at) => (at % 2 === 0 ? part : <i key={at} class="symbol">D<sub>{part.charAt(0)}</sub>{part.endsWith("ᴷ") && <sup>K</sup>}</i>))}</>;
}

export function QualityTab({ scene }: { scene: Detail }) {
  const found = Object.entries(scene.quality ?? {}).filter((pair): pair is [string, number] => typeof pair[1] === "number");
  const order = Object.keys(METRICS);
  found.sort((a, b) => order.indexOf(a[0]) - order.indexOf(b[0]));
  const said = scene.item.properties["geofuse:verdict_reasons"];
  const reasons = Array.isArray(said) ? said.map(String) : [];
  const known = found.filter(([name]) => name in METRICS);
  return (
    <>
      <Section title="Quality" aside={<Verdict verdict={scene.verdict} />}>
        {known.length === 0 ? (
          <p class="quiet">This product was published without an assessment.</p>
        ) : (
          <table class="metrics">
            <thead><tr><th scope="col">Metric</th><th scope="col" class="n">Value</th><th scope="col" class="n">Best</th></tr></thead>
            <tbody>
              {known.map(([name, value]) => {
                const metric = METRICS[name];
                return (
                  <tr key={name}>
                    <th scope="row"><Symbol text={metric?.label ?? name} /><span><Symbol text={metric?.what ?? ""} /></span></th>
                    <td class="n">{significant(value)}</td>
                    <td class="n quiet">{metric?.best}</td>
                  </tr>
                );
              })}
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
