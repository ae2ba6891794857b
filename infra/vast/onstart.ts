/**
 * The script that a rented machine runs at each of its starts. It is part of the rent itself, so it holds from the
 * machine's first second on, with nothing of ours deployed and no laptop in reach: it starts the agent where there
 * is one, and destroys the machine when its heartbeat stays away or its time is over.
 */
import { readFileSync } from "node:fs";
import Handlebars from "handlebars";
import { Bug } from "../../common/errors.ts";

/** Vast takes 16 KB; ours stays readable in a log. */
const LIMIT_BYTES = 3 * 1024;

export interface OnstartOptions {
  /** Minutes without a new heartbeat, from the machine's start on, after which it is destroyed. May be fractional. */
  heartbeatMinutes: number;
  /** Hours since the machine's first start after which it is destroyed; null: no limit. */
  maxHours: number | null;
  /** The workspace folder, unless the machine's environment has VASTLANE_WORKSPACE. */
  workspace: string;
}

/** The script's text: the same for the same options, and free of secrets. */
export function renderOnstart(options: OnstartOptions): string {
  if (!/^\/[\w./-]+$/.test(options.workspace)) throw new Bug(`workspace ${options.workspace} needs quoting`);
  const seconds = Math.max(2, Math.ceil(options.heartbeatMinutes * 60));
  const text = template()({
    workspace: options.workspace,
    seconds,
    half: Math.floor(seconds / 2),
    // How often it looks, and how often it asks the market again to destroy the machine.
    tick: Math.min(30, Math.max(1, Math.floor(seconds / 10))),
    maxSeconds: options.maxHours === null ? undefined : Math.max(1, Math.ceil(options.maxHours * 3600)),
  });
  if (Buffer.byteLength(text) > LIMIT_BYTES) throw new Bug(`onstart has ${Buffer.byteLength(text)} bytes`);
  return text;
}

function template(): HandlebarsTemplateDelegate {
  const path = new URL("../../templates/onstart.sh.hbs", import.meta.url);
  return Handlebars.compile(readFileSync(path, "utf8"), { noEscape: true, strict: false });
}
