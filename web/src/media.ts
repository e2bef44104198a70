/** What the screen is like. The width stands once more in the style sheets, which cannot read it from here. */

import { signal } from "@preact/signals";

const narrow = matchMedia("(max-width: 820px)");

/** Whether the panel is a sheet over the map's foot, as on a phone, and no column beside it. */
export const phone = signal(narrow.matches);
narrow.addEventListener("change", () => (phone.value = narrow.matches));
