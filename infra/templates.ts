/**
 * Fills the texts of `templates/` (handlebars, no HTML escaping). A missing value is an error, never an empty hole.
 * Helpers: `{{sh value}}` quotes for a POSIX shell.
 */
import { readFileSync } from "node:fs";
import Handlebars from "handlebars";
import { shellQuote } from "./shell-quote.ts";

const engine = Handlebars.create();
engine.registerHelper("sh", (value: unknown) => shellQuote(String(value)));

/** The template `templates/<name>` with `values` filled in. */
export function renderTemplate(name: string, values: Record<string, unknown>): string {
  const text = readFileSync(new URL(`../templates/${name}`, import.meta.url), "utf8");
  return engine.compile(text, { noEscape: true, strict: true })(values);
}
