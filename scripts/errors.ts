/** Writes docs/errors.md from the table of error codes. Run: npm run errors */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ERROR_CODES } from "../common/errors.ts";

export const errorsPage = join(import.meta.dirname, "..", "docs", "errors.md");

/** The whole text of the page. */
export function renderErrors(): string {
  const rows = Object.entries(ERROR_CODES).map(([code, when]) => `| \`${code}\` | ${when} |`);
  return `# Error codes

<!-- Generated from common/errors.ts by: npm run errors -->

Every failure that you can act on is printed as up to three lines: its code and what happened, why, and what to do.
With \`--json\` the same comes as \`{ "error": { "code", "what", "why", "hint" } }\`. Exit codes: 0 done, 1 failure,
2 wrong usage, 130 interrupted.

| Code | When it appears |
| --- | --- |
${rows.join("\n")}
`;
}

if (import.meta.main) writeFileSync(errorsPage, renderErrors());
