/** Paths that may lie in a stack's state: the same text on every computer, a real path on each. */
import { homedir } from "node:os";
import { isAbsolute, join, relative, sep } from "node:path";
import { expandHome } from "../project.ts";

/** Relative to the project or to the home where possible: absolute paths would make two computers differ. */
export function portablePath(path: string, root: string): string {
  if (!isAbsolute(path)) return path;
  const inProject = relative(root, path);
  if (!inProject.startsWith("..") && !isAbsolute(inProject)) return inProject.split(sep).join("/");
  const inHome = relative(homedir(), path);
  return inHome.startsWith("..") || isAbsolute(inHome) ? path : `~/${inHome.split(sep).join("/")}`;
}

/** The path on this computer. */
export function localPath(path: string, root: string): string {
  const expanded = expandHome(path);
  return isAbsolute(expanded) ? expanded : join(root, expanded);
}
