/** Machines with a project as a deploy leaves it, whose workspaces go into one store in memory and come back from it. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { renderManifest, type SentFile } from "../../common/sent-files.ts";
import { createSnapshots, restoreSnapshot } from "../../runtime/snapshot/index.ts";
import { fakeClock } from "./fake-clock.ts";
import { memoryStore } from "./memory-store.ts";

/** When everything was sent, Unix seconds; edits come a minute later. */
export const SENT_AT = 1_700_000_000;
export const DEPLOYED = { "train.py": "v1", "lib/model.py": "m1", "old.py": "o1", ".gitignore": "out/\n" };

export interface SaveChanges {
  caps?: { files?: number };
  signal?: AbortSignal;
  assertHeld?: () => Promise<void>;
}

export type SnapshotWorld = ReturnType<typeof snapshotWorld>;

export function snapshotWorld() {
  const root = mkdtempSync(join(tmpdir(), "vastlane-snapshot-"));
  const clock = fakeClock();
  const store = memoryStore({ clock });
  const log: string[] = [];
  const note = (line: string) => void log.push(line);
  return {
    root,
    clock,
    store,
    log,
    /** Of the snapshots in the store, oldest first. */
    names: async () =>
      (await store.list("snapshots/")).flatMap(({ key }) => (key.endsWith(".json") ? key.slice(0, -5) : [])),
    machine,
    dispose: () => rmSync(root, { recursive: true, force: true }),
  };

  /** A machine with the project as a deploy leaves it. */
  function machine(name: string, files: Record<string, string>) {
    const base = join(root, name);
    const project = join(base, "project");
    mkdirSync(project, { recursive: true });
    const manifest = join(base, "manifest");
    const deploy = (sentFiles: Record<string, string>) => {
      const sent: SentFile[] = Object.entries(sentFiles).map(([path, text]) => {
        writeAt(join(project, path), text, SENT_AT);
        const sha256 = createHash("sha256").update(text).digest("hex");
        return { path, sha256, size: Buffer.byteLength(text), mode: 0o644, mtime: SENT_AT, isLink: false };
      });
      writeFileSync(manifest, renderManifest(sent));
    };
    deploy(files);
    let snapshots = createSnapshots();
    const conflicts = join(base, "conflicts");
    const place = {
      runId: "test/run",
      project,
      conflicts,
      manifest,
      staging: join(base, "staging"),
      mark: join(base, "snapshot.json"),
    };
    const machine = {
      project,
      conflicts,
      deploy,
      /** As after a restore that was cut off at its very end. */
      forget: () => rmSync(place.mark),
      /** As after a restart: only what is on the disk is remembered. */
      newAgent() {
        snapshots = createSnapshots();
        return machine;
      },
      read: (path: string) => readFileSync(join(project, path), "utf8"),
      edit: (path: string, text: string) => writeAt(join(project, path), text, SENT_AT + 60),
      has: (path: string) => existsSync(join(project, path)),
      save: (epoch: number, changes: SaveChanges = {}) => {
        const tenure = { epoch, holder: name, assertHeld: changes.assertHeld ?? (async () => {}) };
        const caps = { fileBytes: 1000, totalBytes: 3000, ...changes.caps };
        const signal = changes.signal ? { signal: changes.signal } : {};
        return snapshots.save({ store, tenure, clock, log: note, say: note, ...signal, caps, ...place });
      },
      restore: (epoch: number, previousEpoch = epoch - 1) =>
        restoreSnapshot({ store, epoch, previousEpoch, log: note, ...place }),
    };
    return machine;
  }
}

export function writeAt(path: string, text: string, mtime: number): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  utimesSync(path, mtime, mtime);
}
