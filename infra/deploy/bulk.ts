/**
 * Large files go by rsync where both sides have it: it sends only the changed parts of a file, and goes on with a
 * file that was cut off. Small ones do not: in one archive they cost no round trips.
 */
import { spawn } from "node:child_process";
import type { Log } from "../../common/log.ts";
import { deployFailure } from "./archive.ts";
import type { Connection } from "./connection.ts";
import { type ContentFile, sizeText } from "./content.ts";

/** From this size on, in bytes, a changed part is worth looking for. */
const BULK_BYTES = 1e6;

export interface Split {
  bulk: ContentFile[];
  rest: ContentFile[];
}

/** `remoteRsync`: the version there. Before 3.0 (Apple's own included) rsync cannot do what is needed here. */
export async function splitBulk(files: readonly ContentFile[], remoteRsync: string | null): Promise<Split> {
  const bulk = files.filter((file) => file.link === null && file.size >= BULK_BYTES);
  if (bulk.length === 0 || !isModern(remoteRsync) || !isModern(await localRsync()))
    return { bulk: [], rest: [...files] };
  return { bulk, rest: files.filter((file) => !bulk.includes(file)) };
}

/**
 * Puts the files into `W/.vastlane/bulk`, from where the receiving script moves them into place. What lies in the
 * project there serves as a base; what an earlier attempt left in `bulk` is gone on with.
 * @throws UserError VL_DEPLOY_FAILED or VL_DISK_FULL.
 */
export async function sendBulk(
  connection: Connection,
  paths: { root: string; workspace: string },
  files: readonly ContentFile[],
  log: Log,
  signal?: AbortSignal,
): Promise<void> {
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  log(`sending ${files.length} large ${files.length === 1 ? "file" : "files"} (${sizeText(bytes)}) by rsync`);
  const started = performance.now();
  const host = connection.address.host.includes(":") ? `[${connection.address.host}]` : connection.address.host;
  const args = [
    ...["--files-from=-", "--from0", "--links", "--times", "--perms", "--chmod=D755,Fu+rw,Fgo+r,Fgo-w"],
    // Equal size and time do not count as equal here: that the content differs is known already.
    ...["--ignore-times", "--partial", "-s", `--copy-dest=${paths.workspace}/project`],
    ...["-e", connection.remoteShell, "--stats", "--", "./", `${host}:${paths.workspace}/.vastlane/bulk/`],
  ];
  const result = await runRsync(args, paths.root, `${files.map((file) => file.path).join("\0")}\0`, signal);
  if (result.code !== 0) throw deployFailure("send the large files", result.output);
  const sent = Number(/Total bytes sent: ([\d,.]+)/.exec(result.output)?.[1]?.replaceAll(/[,.]/g, "") ?? bytes);
  log(`sent ${sizeText(sent)} of them in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

function isModern(version: string | null): boolean {
  return version !== null && Number.parseInt(version, 10) >= 3;
}

async function localRsync(): Promise<string | null> {
  const result = await runRsync(["--version"], ".", "").catch(() => undefined);
  return /version (\d+[\d.]*)/.exec(result?.output ?? "")?.[1] ?? null;
}

function runRsync(
  args: string[],
  cwd: string,
  input: string,
  signal?: AbortSignal,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn("rsync", args, { cwd, ...(signal === undefined ? {} : { signal }) });
    let output = "";
    const keep = (chunk: Buffer) => {
      output = (output + chunk).slice(-8192);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.once("error", (error) => reject(signal?.aborted ? signal.reason : error));
    child.once("close", (code) => resolve({ code: code ?? 255, output }));
  });
}
