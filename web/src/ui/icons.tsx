/** The page's icons: one weight, drawn on a grid of 20. */

const PATHS = {
  search: "M9 3.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM13 13l4 4",
  back: "M12 4l-6 6 6 6",
  close: "M5 5l10 10M15 5L5 15",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  fit: "M4 8V4h4M16 8V4h-4M4 12v4h4M16 12v4h-4",
  swipe: "M10 3v14M7 7l-3 3 3 3M13 7l3 3-3 3",
  filter: "M3 5h14M6 10h8M8.5 15h3",
  cloud: "M6 15.5a3.5 3.5 0 1 1 .4-7A4.5 4.5 0 0 1 15 9.2a3.2 3.2 0 0 1-.5 6.3z",
  lock: "M5 9h10v8H5zM7 9V6.5a3 3 0 0 1 6 0V9",
  polygon: "M4 7l6-4 6 5-2 8H6z",
  box: "M4 5h12v10H4z",
  upload: "M10 13V4M6.5 7.5L10 4l3.5 3.5M4 13v3h12v-3",
  download: "M10 4v9M6.5 9.5L10 13l3.5-3.5M4 14v2.5h12V14",
  copy: "M7 7h9v9H7zM4 13V4h9",
  check: "M4 10.5l4 4 8-9",
  out: "M8 4H4v12h12v-4M11 4h5v5M16 4l-8 8",
  sun: "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.5 4.5l1 1M14.5 14.5l1 1M4.5 15.5l1-1M14.5 5.5l1-1",
  moon: "M15.5 12A6.5 6.5 0 0 1 8 4.5a6.5 6.5 0 1 0 7.5 7.5z",
  auto: "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14",
  leave: "M8 4H4v12h4M8 10h9M13.5 6.5L17 10l-3.5 3.5",
  view: "M2.5 10S5.5 5 10 5s7.5 5 7.5 5-3 5-7.5 5-7.5-5-7.5-5zM10 8a2 2 0 1 0 0 4 2 2 0 0 0 0-4z",
  whole: "M3 4h14v12H3zM3 9h14M8 4v12",
  alert: "M10 3l8 14H2zM10 8v4M10 14.5v.1",
  pin: "M10 3v4M10 13v4M3 10h4M13 10h4",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Mark() {
  return (
    <svg class="mark" width="26" height="26" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" class="ground" />
      <path class="fine" d="M7 7h3.6v3.6H7zm5 0h3.6v3.6H12zM7 12h3.6v3.6H7zm5 0h3.6v3.6H12zM7 17h3.6v3.6H7zm5 0h3.6v3.6H12zM7 22h3.6v3.6H7zm5 0h3.6v3.6H12z" />
      <path class="coarse" d="M18.4 7H26v8.6h-7.6zM18.4 17H26v8.6h-7.6z" />
    </svg>
  );
}
