/** What lies under a name, without ever following a link: not the last part's, and none on the way to it. */
import { lstatSync, type Stats } from "node:fs";
import { join } from "node:path";

/** Undefined: nothing is there. "behind": a link or a file stands where a folder would have to be. */
export function lookUp(root: string, path: string): Stats | "behind" | undefined {
  const parts = path.split("/");
  for (let length = 1; ; length += 1) {
    const stat = lstatSync(join(root, ...parts.slice(0, length)), { throwIfNoEntry: false });
    if (!stat || length === parts.length) return stat;
    if (!stat.isDirectory()) return "behind";
  }
}
