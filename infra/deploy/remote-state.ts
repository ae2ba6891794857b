/** What the probe on the machine answered (templates/deploy-probe.sh), as data. Pure. */
import { parseManifest, type SentFile } from "../../common/sent-files.ts";
import type { RemoteFile } from "./plan.ts";

export interface RemoteState {
  /** The machine's W, an absolute path. */
  workspace: string;
  /** Seconds by which its clock is ahead of ours. */
  clockAhead: number;
  /** Bytes free for us, or null where it could not be told. */
  freeBytes: number | null;
  /** Version of its rsync, or null. */
  rsync: string | null;
  /** Where an emulated machine reaches the emulator's store, or null. */
  emulatedStore: string | null;
  /** Hex SHA-256 of files in `W/.vastlane`, by name. */
  stateHashes: Map<string, string>;
  /** Its `run.json`, or null. */
  run: unknown;
  sent: SentFile[];
  files: Map<string, RemoteFile>;
}

/** @throws Error when the answer is not the probe's. A login shell's own greeting in front of it is passed over. */
export function parseProbe(answer: string, nowSeconds: number): RemoteState {
  const sections = sectionsOf(answer);
  const facts = new Map((sections.get("probe") ?? []).map(splitOnce));
  const workspace = facts.get("workspace");
  if (!workspace?.startsWith("/")) throw new Error(`the machine's answer is not the probe's: ${answer.slice(0, 200)}`);
  const free = Number(facts.get("free") || Number.NaN);
  return {
    workspace,
    clockAhead: Number(facts.get("now") ?? nowSeconds) - nowSeconds,
    freeBytes: Number.isFinite(free) ? free * 1024 : null,
    rsync: facts.get("rsync") || null,
    emulatedStore: facts.get("store") || null,
    stateHashes: new Map(
      (sections.get("probe") ?? []).flatMap((line): [string, string][] => {
        const match = /^state ([0-9a-f]{64}) [ *](.+)$/.exec(line);
        return match?.[1] && match[2] ? [[match[2], match[1]]] : [];
      }),
    ),
    run: parseJson((sections.get("run") ?? []).join("\n")),
    sent: parseManifest((sections.get("manifest") ?? []).join("\n")),
    files: new Map((sections.get("files") ?? []).flatMap(parseFile)),
  };
}

/** Lines by the `@name` line above them. */
function sectionsOf(answer: string): Map<string, string[]> {
  const sections = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of answer.split("\n")) {
    if (/^@(probe|run|manifest|files|end)$/.test(line)) {
      current = [];
      sections.set(line.slice(1), current);
    } else {
      current.push(line);
    }
  }
  return sections;
}

function splitOnce(line: string): [string, string] {
  const at = line.indexOf(" ");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // none yet, or one that a full disk has cut
  }
}

const KINDS = new Map<number, RemoteFile["kind"]>([
  [0x8000, "file"],
  [0xa000, "link"],
  [0x4000, "folder"],
]);

/** `mtime size mode path`, the mode in hexadecimal with the kind of file in its upper bits. */
function parseFile(line: string): [string, RemoteFile][] {
  const match = /^(-?\d+) (\d+) ([0-9a-f]+) (.+)$/.exec(line);
  if (match === null) return [];
  const [, mtime, size, mode = "", path = ""] = match;
  const kind = KINDS.get(Number.parseInt(mode, 16) & 0xf000) ?? "other";
  return [[path, { mtime: Number(mtime), size: Number(size), kind }]];
}
