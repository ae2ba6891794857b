/**
 * What a push does with each file, decided from three lists: what is here, what was sent last, what lies there.
 * Nothing on the machine is lost by it: a file edited there is kept when it is newer, put aside when it is older,
 * and a file deleted here goes there only if nobody touched it. Pure.
 */

import type { SentFile } from "../../common/sent-files.ts";
import type { ContentFile } from "./content.ts";
import { sentFile } from "./manifest.ts";

export interface RemoteFile {
  /** Unix seconds on the machine's disk. */
  mtime: number;
  size: number;
  kind: "file" | "link" | "folder" | "other";
}

export interface PushSituation {
  local: readonly ContentFile[];
  /** What earlier pushes recorded; a path may come twice when the last one was cut off between files and record. */
  sent: readonly SentFile[];
  /** What lies there now, for every path of `local` and `sent`. */
  remote: ReadonlyMap<string, RemoteFile>;
  /** Seconds by which the machine's clock is ahead of ours. */
  clockAhead: number;
  /** Hashes of what lies there, where they were asked for; see `doubtful`. */
  remoteHashes?: ReadonlyMap<string, string>;
}

export interface PushPlan {
  /** Files whose content travels. */
  send: ContentFile[];
  /** Of those, the ones that overwrite something edited there; that is put aside first. */
  putAside: string[];
  /** Edited on the machine and newer than here, or deleted here but edited there: stay as they are, and are named. */
  kept: string[];
  /** Deleted here and untouched there. */
  remove: string[];
  unchanged: number;
  /** The record once all of it is done. */
  manifest: SentFile[];
  /** Paths whose content on the machine would settle whether anything has to be said at all. */
  doubtful: string[];
}

export function planPush(situation: PushSituation): PushPlan {
  const plan: PushPlan = { send: [], putAside: [], kept: [], remove: [], unchanged: 0, manifest: [], doubtful: [] };
  const sent = Map.groupBy(situation.sent, (file) => file.path);
  for (const file of situation.local) planFile(file, sent.get(file.path) ?? [], situation, plan);
  const here = new Set(situation.local.map((file) => file.path));
  for (const [path, versions] of sent) {
    if (!here.has(path)) planDeleted(path, versions, situation.remote.get(path), plan);
  }
  return plan;
}

type Verdict = "send" | "same" | "keep" | "overwrite";

function planFile(file: ContentFile, sent: readonly SentFile[], situation: PushSituation, plan: PushPlan): void {
  const there = situation.remote.get(file.path);
  const verdict = judge(file, sent, there, situation);
  if (verdict === "same") {
    plan.unchanged++;
    plan.manifest.push(sentFile(file, there?.mtime));
    return;
  }
  if (verdict !== "send" && there?.kind === "file") plan.doubtful.push(file.path);
  if (verdict === "keep") {
    plan.kept.push(file.path);
    plan.manifest.push(...sent.slice(-1)); // the old record stays: the file must go on looking edited
    return;
  }
  if (verdict === "overwrite") plan.putAside.push(file.path);
  plan.send.push(file);
  plan.manifest.push(sentFile(file));
}

function judge(
  file: ContentFile,
  sent: readonly SentFile[],
  there: RemoteFile | undefined,
  situation: PushSituation,
): Verdict {
  if (there === undefined) return "send";
  const asSent = sent.find((version) => lies(version, there));
  if (asSent !== undefined) return asSent.sha256 === file.sha256 && asSent.mode === file.mode ? "same" : "send";
  // Not as recorded, but just as it would arrive: an earlier push was cut off after placing it.
  if (lies(sentFile(file), there) || situation.remoteHashes?.get(file.path) === file.sha256) return "same";
  if (there.kind === "folder" || sent.some((version) => version.sha256 === file.sha256)) return "keep";
  return there.mtime - situation.clockAhead > file.mtime ? "keep" : "overwrite";
}

function planDeleted(path: string, sent: readonly SentFile[], there: RemoteFile | undefined, plan: PushPlan): void {
  if (there === undefined) return;
  if (sent.some((version) => lies(version, there))) plan.remove.push(path);
  else plan.kept.push(path); // and forgotten: from now on it is the machine's own file
}

/** Whether what lies there is this version, untouched. Not every tar keeps the time of a link. */
function lies(version: SentFile, there: RemoteFile): boolean {
  if (there.kind !== (version.isLink ? "link" : "file")) return false;
  return version.size === there.size && (version.isLink || version.mtime === there.mtime);
}
