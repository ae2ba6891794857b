/**
 * What the official client sends, per command, as files in `test/fixtures/vastai-1.9.1/`. Ids, keys and times differ
 * from run to run and stand there as `<name>`. `UPDATE_FIXTURES=1` writes the files anew from what was seen.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { SentRequest } from "./vastai-cli.ts";

const FOLDER = resolve(import.meta.dirname, "../fixtures/vastai-1.9.1");

export interface WireFixture {
  /** The command line as typed, with `<name>` for ids. */
  command: string[];
  requests: SentRequest[];
}

/** Text -> name that stands for it. */
export type Names = Map<string, string>;

/** The fixture with names in place of what changes; for writing and comparing. */
export function withNames(fixture: WireFixture, names: Names): WireFixture {
  // Small numbers mean an id only where the command names it.
  const meant = [...names].filter(([value, name]) => value.length > 5 || fixture.command.includes(`<${name}>`));
  const replace = (request: Omit<SentRequest, "headers">) => {
    let text = JSON.stringify(request);
    for (const [value, name] of meant) text = text.replaceAll(new RegExp(`\\b${value}\\b`, "g"), `<${name}>`);
    // Numbers that became names are no JSON any more: they go into quotes, marked as what they were.
    text = text.replaceAll(/(?<=[:[,])<([\w-]+)>(?=[,}\]])/g, '"<$1:number>"');
    text = text.replaceAll(/(?<!\d)1[7-9]\d{8}(\.\d+)?(?!\d)/g, "<time>");
    text = text.replaceAll(/_results\/[0-9a-f]{32}/g, "_results/<result>");
    return JSON.parse(text) as Omit<SentRequest, "headers">;
  };
  const withoutKey = ({ authorization, ...rest }: SentRequest["headers"]) => {
    const key = authorization?.replace("Bearer ", "");
    return key === undefined ? rest : { ...rest, authorization: `Bearer <${names.get(key) ?? "unknown"}>` };
  };
  const requests = fixture.requests.map(({ headers, ...rest }) => ({ ...replace(rest), headers: withoutKey(headers) }));
  return { command: fixture.command, requests };
}

/** The fixture with values for its names, numbers where numbers were. Names without a value stay as they are. */
export function withValues(fixture: WireFixture, values: Record<string, string>): WireFixture {
  const valueFor = (whole: string, name: string) => values[name] ?? whole;
  const text = JSON.stringify(fixture)
    .replaceAll(/"<([\w-]+):number>"/g, valueFor)
    .replaceAll(/<([\w-]+)>/g, valueFor);
  return JSON.parse(text) as WireFixture;
}

export function readFixture(name: string): WireFixture {
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf8")) as WireFixture;
}

export function readAllFixtures(): [name: string, fixture: WireFixture][] {
  if (!existsSync(FOLDER)) return [];
  const files = readdirSync(FOLDER).filter((file) => file.endsWith(".json"));
  return files.sort().map((file) => [file.replace(".json", ""), readFixture(file.replace(".json", ""))]);
}

export const isUpdating = process.env.UPDATE_FIXTURES === "1";

export function writeFixture(name: string, fixture: WireFixture): void {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, `${name}.json`), `${JSON.stringify(fixture, null, 2)}\n`);
}
