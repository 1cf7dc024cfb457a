/** Two panels, both axes logarithmic: load time and memory by routes, and by clients. */
import type { GrowthPoint } from "./growth.ts";

const panel = { width: 400, height: 260, left: 60, top: 40, gap: 90 } as const;
const lowest = 0.01; // seconds
const highest = 1000; // megabytes

export function drawGrowth(routes: readonly GrowthPoint[], clients: readonly GrowthPoint[]): string {
  const width = 2 * (panel.left + panel.width) + panel.gap,
    height = panel.top + panel.height + 60;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<title>How load time and memory of a Podway reflector grow with routes and with clients</title>
<rect width="${width}" height="${height}" fill="#fff"/>
${drawPanel(panel.left, "routes, from one client to one", routes)}
${drawPanel(2 * panel.left + panel.width + panel.gap / 2, "clients, four routes of each to all others", clients)}
</svg>
`;
}

function drawPanel(left: number, title: string, points: readonly GrowthPoint[]): string {
  const first = points[0]!.count,
    last = points.at(-1)!.count;
  const x = (count: number): number => left + (panel.width * Math.log(count / first)) / Math.log(last / first);
  const y = (value: number): number => panel.top + panel.height * (1 - Math.log(Math.max(value, lowest) / lowest) / Math.log(highest / lowest));
  const bottom = panel.top + panel.height,
    parts: string[] = [];
  for (let tick = lowest; tick <= highest * 1.001; tick *= 10)
    parts.push(
      `<line x1="${left}" x2="${left + panel.width}" y1="${y(tick)}" y2="${y(tick)}" stroke="#ddd"/>`,
      text(left - 8, y(tick) + 4, `${Number(tick.toPrecision(1))}`, "end"),
    );
  for (const { count } of points) parts.push(text(x(count), bottom + 18, count.toLocaleString("en"), "middle"));
  parts.push(text(left + panel.width / 2, bottom + 40, title, "middle"), text(left, panel.top - 16, "seconds (circles), megabytes (squares)", "start"));
  parts.push(
    drawLine(
      points.map(({ count, loadSeconds }) => [x(count), y(loadSeconds)]),
      "#0b6e4f",
    ),
  );
  parts.push(
    drawLine(
      points.map(({ count, megabytes }) => [x(count), y(megabytes)]),
      "#8a4b08",
    ),
  );
  for (const { count, loadSeconds, megabytes } of points) {
    parts.push(
      `<circle cx="${x(count)}" cy="${y(loadSeconds)}" r="4" fill="#0b6e4f"/>`,
      text(x(count), y(loadSeconds) - 9, `${loadSeconds.toPrecision(2)} s`, "middle"),
    );
    parts.push(
      `<rect x="${x(count) - 4}" y="${y(megabytes) - 4}" width="8" height="8" fill="#8a4b08"/>`,
      text(x(count), y(megabytes) - 9, `${megabytes.toFixed(0)} MB`, "middle"),
    );
  }
  return parts.join("\n");
}

const text = (x: number, y: number, words: string, anchor: string): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${words}</text>`;
const drawLine = (points: readonly (readonly number[])[], colour: string): string =>
  `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points.map(([x, y]) => `${x!.toFixed(1)},${y!.toFixed(1)}`).join(" ")}"/>`;
