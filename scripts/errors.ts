/** Writes docs/errors.md from the table of error codes. Run: npm run errors */
import { writeFileSync } from "node:fs";
import { ERROR_CODES } from "../common/errors.ts";
import { docsPath, generatedFrom, markdownTable } from "./page.ts";

export const errorsPage = docsPath("errors.md");

/** The whole text of the page. */
export function renderErrors(): string {
  const rows = Object.entries(ERROR_CODES).map(([code, when]) => [`\`${code}\``, when]);
  return `# Error codes

${generatedFrom("common/errors.ts", "errors")}

Every failure that you can act on is printed as up to three lines: its code and what happened, why, and what to do.
With \`--json\` the same comes as \`{ "error": { "code", "what", "why", "hint" } }\`. Exit codes: 0 done, 1 failure,
2 wrong usage, 130 interrupted.

${markdownTable(["Code", "When it appears"], rows)}
`;
}

if (import.meta.main) writeFileSync(errorsPage, renderErrors());
