/**
 * The paths below the project that are to be sent: what git would track, or what the ignore files leave.
 * Inside a repository git is asked, as only it knows tracked files that a rule would ignore, and the person's
 * global excludes; elsewhere the folders are walked.
 */
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { UserError } from "../../common/errors.ts";
import { readFileIfThere } from "../../common/files.ts";
import { type IsIgnored, ignoreRules } from "../../common/ignore-rules.ts";
import { neverSent } from "../../common/never-sent.ts";

export interface Listing {
  /** Relative to the project, `/` between folders, sorted by code unit. */
  paths: string[];
  /** Left out because they look like secrets. */
  secrets: string[];
}

/**
 * Lists what lies under `sync` (folders and files of the project).
 * @throws UserError VL_BAD_CONFIG when one of them is missing or lies outside the project.
 */
export function listFiles(root: string, sync: readonly string[]): Listing {
  const roots = sync.map((entry) => projectPath(root, entry));
  const vastlaneIgnores = ignoreRules((folder) => readFileIfThere(join(root, folder, ".vastlaneignore")));
  const found = (listByGit(root, roots) ?? listByWalk(root, roots)).filter((path) => !vastlaneIgnores(path, false));
  const paths: string[] = [];
  const secrets: string[] = [];
  for (const path of new Set(found)) {
    const verdict = neverSent(path);
    if (verdict === undefined) paths.push(path);
    else if (verdict === "secret") secrets.push(path);
  }
  return { paths: paths.sort(), secrets: secrets.sort() };
}

function projectPath(root: string, entry: string): string {
  const path = relative(root, resolve(root, entry)).split(sep).join("/");
  const isOutside = path === ".." || path.startsWith("../");
  if (!isOutside && existsSync(join(root, path))) return path;
  throw new UserError("VL_BAD_CONFIG", {
    what: `vastlane:workspace.sync names ${JSON.stringify(entry)}, which ${isOutside ? "lies outside the project" : "is not there"}`,
    why: "each entry is a folder or file of the project and keeps its place on the machine",
    hint: isOutside
      ? "copy or move it into the project, or stage it with vastlane:workspace.data"
      : "correct the entry",
  });
}

/** Undefined when git cannot say: no git, no repository, or one that ignores the whole project. */
function listByGit(root: string, roots: readonly string[]): string[] | undefined {
  if (git(root, ["rev-parse", "--show-prefix"]) === undefined) return undefined;
  if (git(root, ["check-ignore", "-q", "."]) !== undefined) return undefined;
  const specs = roots.map((path) => (path === "" ? "." : path));
  const output = git(root, ["ls-files", "-z", "-co", "--exclude-standard", "--", ...specs]);
  if (output === undefined) return undefined;
  return output.split("\0").flatMap((entry) => {
    const path = entry.replace(/\/$/, "");
    const stat = path === "" ? undefined : lstatSync(join(root, path), { throwIfNoEntry: false });
    if (stat === undefined) return []; // deleted here, and not yet committed so
    // A submodule or another repository inside this one: git names only its folder.
    return stat.isDirectory() ? listNested(root, path) : [path];
  });
}

function listNested(root: string, folder: string): string[] {
  if (neverSent(folder) !== undefined) return [];
  const inner = join(root, folder);
  const paths = existsSync(join(inner, ".git")) ? (listByGit(inner, [""]) ?? listByWalk(inner, [""])) : [];
  return paths.map((path) => `${folder}/${path}`);
}

function git(cwd: string, args: string[]): string | undefined {
  const env = { ...process.env, GIT_LITERAL_PATHSPECS: "1", GIT_OPTIONAL_LOCKS: "0" };
  const result = spawnSync("git", args, { cwd, env, encoding: "utf8", maxBuffer: 256 * 1024 * 1024 });
  return result.status === 0 ? result.stdout : undefined;
}

function listByWalk(root: string, roots: readonly string[]): string[] {
  const isIgnored = ignoreRules((folder) => readFileIfThere(join(root, folder, ".gitignore")));
  return roots.flatMap((path) =>
    path !== "" && isIgnored(path, isFolder(root, path)) ? [] : walk(root, path, isIgnored),
  );
}

function walk(root: string, path: string, isIgnored: IsIgnored): string[] {
  if (!isFolder(root, path)) return [path];
  return readdirSync(join(root, path), { withFileTypes: true }).flatMap((entry) => {
    const inner = path === "" ? entry.name : `${path}/${entry.name}`;
    if (neverSent(inner) === "silent" || isIgnored(inner, entry.isDirectory())) return [];
    return entry.isDirectory() ? walk(root, inner, isIgnored) : [inner];
  });
}

function isFolder(root: string, path: string): boolean {
  return lstatSync(join(root, path)).isDirectory();
}
