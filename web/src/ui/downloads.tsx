/** Whole products: the files a scene was published with. */

import { address } from "../api.ts";
import { bytes } from "../format.ts";
import type { Detail } from "../types.ts";
import { Icon } from "./icons.tsx";

export function Downloads({ scene }: { scene: Detail }) {
  if (!scene.rights.download || scene.downloads.length === 0) {
    return <p class="quiet"><Icon name="lock" size={15} /> The files of this scene cannot be downloaded.</p>;
  }
  return (
    <>
      <ul class="downloads">
        {scene.downloads.map((one) => (
          <li key={one.asset}>
            <span><b>{one.title || one.asset}</b><span class="quiet">{kind(one.media_type)} · {bytes(one.bytes)}</span></span>
            <a class="button small" href={address(one.url)} download aria-label={`Download ${one.title || one.asset}`}><Icon name="download" size={16} />Download</a>
          </li>
        ))}
      </ul>
      <p class="quiet">A download that broke off goes on where it stopped, in browsers and with <code>curl -C -</code>.</p>
    </>
  );
}

function kind(media: string): string {
  if (/cloud-optimized/.test(media)) return "COG";
  if (/geotiff|tiff/.test(media)) return "GeoTIFF";
  return media.split(";")[0]?.split("/").pop()?.toUpperCase() ?? media;
}
