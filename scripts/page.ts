/** What the generated pages of docs/ have in common: where they are, how they say so, and their tables. */
import { join } from "node:path";

/** The line that keeps people from editing the page; `script` is its name in package.json. */
export function generatedFrom(source: string, script: string): string {
  return `<!-- Generated from ${source} by: npm run ${script} -->`;
}

export function docsPath(name: string): string {
  return join(import.meta.dirname, "..", "docs", name);
}

/** A Markdown table; bars inside cells are escaped. */
export function markdownTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(titles), line(titles.map(() => "---")), ...rows.map(line)].join("\n");
}
