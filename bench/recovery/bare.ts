/**
 * Machines with neither Node nor packages, so that a deploy really installs them. What this computer lends to emulated
 * machines is covered up, and pip and npm on them go out through this computer, with its own settings.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeProject, repository, type TestProject } from "../../test/helpers/project.ts";
import { openProxy } from "./proxy.ts";

export interface BareProject {
  project: TestProject;
  dispose(): Promise<void>;
}

/** Undefined: machines here are not isolated, and what is installed on this computer shows on them. */
export async function makeBareProject(): Promise<BareProject | undefined> {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-bare-"));
  // Files that are bound are read when a machine starts: what is in them may come later.
  const file = (name: string) => {
    writeFileSync(join(folder, name), "", { mode: 0o644 });
    return join(folder, name);
  };
  const [nothing, pip, npm] = [file("nothing"), file("pip.conf"), file("npmrc")];
  const programs = ["/usr/local/bin/node", ...installedNodes()];
  const project = await makeProject({
    emulator: {
      rateLimits: true,
      binds: [
        ...programs.map((to) => ({ from: nothing, to })),
        { from: pip, to: "/etc/pip.conf" },
        { from: npm, to: "/root/.npmrc" },
      ],
    },
  });
  const proxy = await openProxy(project.emulator.home);
  const dispose = async () => {
    await project.dispose();
    proxy?.close();
    rmSync(folder, { recursive: true, force: true });
  };
  if (!proxy) {
    await dispose();
    return undefined;
  }
  writeFileSync(pip, lines({ proxy: proxy.url, ...pipSettings() }, "[global]"));
  writeFileSync(npm, lines({ proxy: proxy.url, "https-proxy": proxy.url, ...npmSettings() }));
  // A project that is a clone of vastlane brings the runtime's list of packages.
  mkdirSync(join(project.root, "runtime"));
  for (const name of ["package.json", "package-lock.json"])
    cpSync(join(repository, "runtime", name), join(project.root, "runtime", name));
  return { project, dispose };
}

/** Of this computer's /usr, which machines share. A link cannot be covered up, what it leads to can. */
const installedNodes = () => [
  ...new Set(
    ["/usr/bin/node", "/usr/bin/nodejs"]
      .filter((path) => existsSync(path))
      .map((path) => realpathSync(path))
      .filter((path) => path.startsWith("/usr/") && !path.startsWith("/usr/local/")),
  ),
];

const lines = (settings: Record<string, string | undefined>, head = "") =>
  [head, ...Object.entries(settings).flatMap(([name, value]) => (value ? [`${name} = ${value}`] : []))]
    .filter(Boolean)
    .map((line) => `${line}\n`)
    .join("");

function pipSettings(): Record<string, string | undefined> {
  const { PIP_INDEX_URL, PIP_CERT } = process.env;
  return { "index-url": PIP_INDEX_URL, cert: PIP_CERT };
}

function npmSettings(): Record<string, string | undefined> {
  const get = (name: string) => {
    const value = execFileSync("npm", ["config", "get", name], { encoding: "utf8" }).trim();
    return value === "null" || value === "undefined" ? undefined : value;
  };
  return { registry: get("registry"), cafile: get("cafile") };
}
