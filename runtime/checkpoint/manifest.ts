/**
 * The manifest: the file that makes a checkpoint valid. It lists every file with its length and SHA-256, and is
 * written last. Beside it lies SHA256SUMS, so that any S3 client and `sha256sum -c` can tell whether a download is
 * whole. A manifest of a newer format or of another run is refused by name, never guessed at.
 */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../../common/errors.ts";
import { readFileIfThere } from "../../common/files.ts";
import { sumFile } from "./sums.ts";

export const MANIFEST = "manifest.json";
export const SUMS = "SHA256SUMS";
const FORMAT = 1;

export interface ManifestFile {
  /** Relative to the checkpoint's folder, with slashes. */
  path: string;
  bytes: number;
  /** Hex. */
  sha256: string;
  /** 8 hex digits, to tell damage quickly; missing in ones made without it. */
  crc32?: string;
}

export interface Manifest {
  format: 1;
  runId: string;
  /** In the store `step-00000200.e00003`, in a local folder the folder's name. */
  id: string;
  step: number;
  /** Of the lease; 0 for what no agent has published. */
  epoch: number;
  /** The checkpoint before it in the store; null for the first. */
  parent: string | null;
  /** ISO 8601. */
  time: string;
  files: ManifestFile[];
  metrics: Record<string, number>;
  experiment: string | null;
  contentHash: string;
  /** The local folder's name, under which it is restored; missing in old ones. */
  folder?: string;
}

/** A checkpoint is not what it was when it was made; the one before may be whole. */
export class DamagedCheckpoint extends UserError {
  constructor(what: string, why: string) {
    super("VL_CHECKPOINT_BAD", { what, why: `${why}.`, hint: "use the checkpoint before: vastlane checkpoints ls" });
    this.name = "DamagedCheckpoint";
  }
}

/** What a manifest must say to be used; what is not given is not compared. */
export interface Expected {
  runId?: string | undefined;
  experiment?: string | null | undefined;
}

/**
 * `where` names the manifest for people.
 * @throws DamagedCheckpoint; UserError VL_CHECKPOINT_BAD when it is of a newer format, another run or experiment
 */
export function parseManifest(text: string, where: string, expected: Expected = {}): Manifest {
  let found: Partial<Manifest>;
  try {
    found = JSON.parse(text) as Partial<Manifest>;
  } catch (error) {
    throw new DamagedCheckpoint(`${where} is damaged.`, `it is not JSON (${messageOf(error)})`);
  }
  if (typeof found !== "object" || found === null)
    throw new DamagedCheckpoint(`${where} is damaged.`, "it is not an object");
  if (typeof found.format === "number" && found.format > FORMAT) {
    throw new UserError("VL_CHECKPOINT_BAD", {
      what: `${where} has format ${found.format}, and this vastlane knows ${FORMAT}.`,
      why: "a newer vastlane has written it.",
      hint: "update vastlane here, or go on with the version that wrote it",
    });
  }
  const flaw = flawOf(found);
  if (flaw) throw new DamagedCheckpoint(`${where} is damaged.`, flaw);
  const manifest = found as Manifest;
  if (expected.runId !== undefined && manifest.runId !== expected.runId) {
    throw otherOne(where, "run", manifest.runId, expected.runId);
  }
  if (expected.experiment && manifest.experiment && manifest.experiment !== expected.experiment) {
    throw otherOne(where, "experiment", manifest.experiment, expected.experiment);
  }
  return manifest;
}

export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

/** Lines for `sha256sum -c`. */
export function sumsText(files: readonly ManifestFile[]): string {
  return files.map(({ path, sha256 }) => `${sha256}  ${path}\n`).join("");
}

/** The manifest in a local folder; undefined when there is none, or one that is not ours. */
export function readLocalManifest(folder: string, expected: Expected = {}): Manifest | undefined {
  const text = readFileIfThere(join(folder, MANIFEST));
  if (text === undefined || !isOurs(text)) return undefined;
  return parseManifest(text, join(folder, MANIFEST), expected);
}

/** Every file of a folder but manifest and sums, in order of names. */
export function listFiles(folder: string): { path: string; bytes: number }[] {
  const found: { path: string; bytes: number }[] = [];
  const walk = (below: string) => {
    for (const name of readdirSync(join(folder, below)).sort()) {
      const path = below ? `${below}/${name}` : name;
      const stat = lstatSync(join(folder, path));
      if (stat.isDirectory()) walk(path);
      else if (stat.isFile() && path !== MANIFEST && path !== SUMS) found.push({ path, bytes: stat.size });
    }
  };
  walk("");
  return found;
}

/** Compares a folder with its manifest: every file there, of the right length and content. @throws DamagedCheckpoint */
export async function verifyFolder(folder: string, manifest: Manifest): Promise<void> {
  for (const { path, bytes, sha256 } of manifest.files) {
    const size = lstatSync(join(folder, path), { throwIfNoEntry: false })?.size;
    if (size === undefined)
      throw new DamagedCheckpoint(`The checkpoint ${folder} is incomplete.`, `${path} is missing`);
    if (size !== bytes) {
      throw new DamagedCheckpoint(
        `The checkpoint ${folder} is damaged.`,
        `${path} has ${size} bytes instead of ${bytes}`,
      );
    }
    const found = await sumFile(join(folder, path));
    if (found.sha256 !== sha256)
      throw new DamagedCheckpoint(`The checkpoint ${folder} is damaged.`, `${path} has other content (SHA-256)`);
  }
}

/** Whether two lists name the same files with the same content. */
export function areSameFiles(a: readonly ManifestFile[], b: readonly ManifestFile[]): boolean {
  const text = (files: readonly ManifestFile[]) =>
    files
      .map(({ path, bytes, sha256 }) => `${path}\n${bytes}\n${sha256}`)
      .sort()
      .join("\n");
  return text(a) === text(b);
}

/** Other programs have files of that name too, and they have the fields of none of ours. */
function isOurs(text: string): boolean {
  try {
    const found = JSON.parse(text) as Partial<Manifest> | null;
    return typeof found?.format === "number" && typeof found.runId === "string";
  } catch {
    return true; // cut by a full disk, perhaps: better said than overlooked
  }
}

function flawOf(found: Partial<Manifest>): string | undefined {
  if (found.format !== FORMAT) return `its format is ${found.format}`;
  if (typeof found.runId !== "string" || typeof found.id !== "string") return "it names no run or no id";
  if (!isCount(found.step) || !isCount(found.epoch)) return "it has no step or no epoch";
  if (found.parent !== null && typeof found.parent !== "string") return "its parent is no id";
  if (!Array.isArray(found.files)) return "it lists no files";
  const wrong = found.files.find((file) => !isFile(file));
  if (wrong !== undefined) return `it lists a file that cannot be: ${JSON.stringify(wrong)}`;
  if (new Set(found.files.map(({ path }) => path)).size !== found.files.length) return "it lists a file twice";
  return undefined;
}

function isFile(file: ManifestFile): boolean {
  const hasSum = typeof file?.sha256 === "string" && /^[0-9a-f]{64}$/.test(file.sha256);
  const hasCrc = file?.crc32 === undefined || /^[0-9a-f]{8}$/.test(file.crc32);
  return hasSum && hasCrc && isCount(file.bytes) && isPathBelow(file.path);
}

/** A manifest comes from a store that others may write: it must not name a file outside of its folder. */
function isPathBelow(path: unknown): boolean {
  if (typeof path !== "string" || path === MANIFEST || path === SUMS || path.includes("\0")) return false;
  return path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;

function otherOne(where: string, kind: string, found: string, wanted: string): UserError {
  return new UserError("VL_CHECKPOINT_BAD", {
    what: `${where} belongs to ${kind} ${found}, not to ${wanted}.`,
    why: `checkpoints of another ${kind} are never loaded in its place.`,
    hint: `correct the ${kind}'s name, or point to another folder or prefix`,
  });
}
