/**
 * A copy of the project in a temporary folder, as a fresh clone would be, with a mirror of fake engine archives beside
 * it: set-up unpacks, checks and starts them like real ones, in milliseconds and on any platform.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { execa } from "execa";
import { commandPluginPiece, enginePiece, type Piece } from "../../cli/engine/location.ts";
import { projectRoot } from "../../cli/project.ts";

export interface Clone {
  root: string;
  /** Folder of the offline archives, where set-up looks for it by itself. */
  mirror: string;
  pulumiHome: string;
  engine: Piece;
  plugin: Piece;
  /** Runs set-up to its end; `changes` go over the environment. */
  setup(args?: string[], changes?: Record<string, string>): Promise<Finished>;
  remove(): void;
}

export interface Finished {
  code: number;
  out: string;
  err: string;
}

/** Makes the copy. `packages: "linked"` gives it this project's node_modules; "none" leaves that to set-up. */
export function makeClone(packages: "linked" | "none"): Clone {
  const base = mkdtempSync(join(tmpdir(), "vastlane clone ")); // with a blank, as people's folders have
  const root = join(base, "project");
  const mirror = join(base, "shared", "engine");
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: process.env.HOME ?? base,
    PULUMI_HOME: join(base, "pulumi"),
    VASTLANE_NO_APT: "1",
  };
  const [engine, plugin] = [enginePiece(env), commandPluginPiece(env)];
  const isWanted = (path: string) => !LEFT_OUT.has(relative(projectRoot, path));
  cpSync(projectRoot, root, { recursive: true, filter: isWanted, verbatimSymlinks: true });
  for (const piece of [engine, plugin]) writeArchive(mirror, piece, piece.programs);
  if (packages === "linked") symlinkSync(join(projectRoot, "node_modules"), join(root, "node_modules"));
  return {
    root,
    mirror,
    pulumiHome: env.PULUMI_HOME,
    engine,
    plugin,
    async setup(args = [], changes = {}) {
      const result = await execa(process.execPath, [join(root, "scripts", "setup.mjs"), ...args], {
        cwd: root,
        env: { ...env, ...changes },
        extendEnv: false,
        reject: false,
        stdin: "ignore",
      });
      return { code: result.exitCode ?? -1, out: result.stdout, err: result.stderr };
    },
    remove: () => rmSync(base, { recursive: true, force: true }),
  };
}

const LEFT_OUT = new Set(["node_modules", ".git", ".vastlane", "test"]);

/** What a fake program does: it says its version, and makes a stack as far as set-up looks. */
const PROGRAM = `#!/bin/sh
case "$1" in
  version) echo v3.259.0 ;;
  stack)
    mkdir -p .vastlane/state/.pulumi/stacks/vastlane
    echo '{}' > .vastlane/state/.pulumi/stacks/vastlane/local.json ;;
esac
`;

/** Packs fake programs as the piece's archive, and lists its checksum. */
export function writeArchive(mirror: string, piece: Piece, programs: readonly string[]): void {
  const scratch = mkdtempSync(join(tmpdir(), "vastlane-archive-"));
  const prefix = piece.strip === 1 ? "pulumi/" : "";
  for (const name of programs) {
    mkdirSync(dirname(join(scratch, prefix, name)), { recursive: true });
    writeFileSync(join(scratch, prefix, name), PROGRAM, { mode: 0o755 });
  }
  mkdirSync(mirror, { recursive: true });
  const archive = join(mirror, piece.archive);
  execFileSync("tar", ["-czf", archive, "-C", scratch, ...programs.map((name) => prefix + name)]);
  const sum = createHash("sha256").update(readFileSync(archive)).digest("hex");
  writeFileSync(join(mirror, "SHA256SUMS"), `${sum}  ${piece.archive}\n`, { flag: "a" });
  rmSync(scratch, { recursive: true });
}
