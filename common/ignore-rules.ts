/**
 * What a `.gitignore`-style file means (git's documentation, "gitignore", pattern format): used for
 * `.vastlaneignore`, and for `.gitignore` where git itself cannot be asked. Compared with git by a property test.
 */

/** One line of such a file. */
interface Rule {
  matches: RegExp;
  negated: boolean;
  directoriesOnly: boolean;
}

/** Decides for paths relative to one root, `/` between folders. */
export type IsIgnored = (path: string, isDirectory: boolean) => boolean;

/**
 * Rules of all folders together: the last matching line of the nearest folder decides, and nothing below an
 * ignored folder can be brought back. `readRules` gives the text of a folder's file ("" is the root).
 */
export function ignoreRules(readRules: (folder: string) => string | undefined): IsIgnored {
  const rules = new Map<string, Rule[]>();
  const folders = new Map<string, boolean>();
  const rulesOf = (folder: string) => {
    let found = rules.get(folder);
    if (found === undefined) {
      found = parseRules(readRules(folder) ?? "");
      rules.set(folder, found);
    }
    return found;
  };
  const isFolderIgnored = (folder: string): boolean => {
    if (folder === "") return false;
    let ignored = folders.get(folder);
    if (ignored === undefined) {
      ignored = isIgnored(folder, true);
      folders.set(folder, ignored);
    }
    return ignored;
  };
  const isIgnored: IsIgnored = (path, isDirectory) => {
    const parent = parentOf(path);
    if (isFolderIgnored(parent)) return true;
    for (let folder = parent; ; folder = parentOf(folder)) {
      const below = folder === "" ? path : path.slice(folder.length + 1);
      const rule = rulesOf(folder).findLast(
        ({ matches, directoriesOnly }) => (isDirectory || !directoriesOnly) && matches.test(below),
      );
      if (rule !== undefined) return !rule.negated;
      if (folder === "") return false;
    }
  };
  return isIgnored;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function parseRules(text: string): Rule[] {
  return text.split("\n").flatMap((line) => {
    const rule = parseRule(line.replace(/\r$/, ""));
    return rule === undefined ? [] : [rule];
  });
}

function parseRule(line: string): Rule | undefined {
  if (line.startsWith("#")) return undefined;
  let pattern = withoutTrailingBlanks(line);
  const negated = pattern.startsWith("!");
  if (negated) pattern = pattern.slice(1);
  const directoriesOnly = pattern.endsWith("/");
  if (directoriesOnly) pattern = pattern.slice(0, -1);
  // A slash anywhere but at the end ties the pattern to the file's own folder.
  const isAnchored = pattern.includes("/");
  if (pattern.startsWith("/")) pattern = pattern.slice(1);
  if (pattern === "") return undefined;
  const source = toRegExp(pattern);
  if (source === undefined) return undefined;
  return { matches: new RegExp(`^${isAnchored ? "" : "(?:.*/)?"}${source}$`, "su"), negated, directoriesOnly };
}

/** Blanks at the end count only behind a backslash. */
function withoutTrailingBlanks(line: string): string {
  let end = line.length;
  while (end > 0 && line[end - 1] === " " && !isEscaped(line, end - 1)) end--;
  return line.slice(0, end);
}

function isEscaped(line: string, at: number): boolean {
  let slashes = 0;
  while (line[at - 1 - slashes] === "\\") slashes++;
  return slashes % 2 === 1;
}

/** The pattern as the source of a regular expression, or undefined when it can match nothing (a cut class or escape). */
function toRegExp(pattern: string): string | undefined {
  let source = "";
  for (let at = 0; at < pattern.length; ) {
    const rest = pattern.slice(at);
    const isSegmentStart = at === 0 || pattern[at - 1] === "/";
    const stars = /^\*+/.exec(rest)?.[0].length ?? 0;
    if (stars === 2 && isSegmentStart && rest[2] === "/") {
      source += "(?:.*/)?";
      at += 3;
    } else if (stars === 2 && isSegmentStart && rest.length === 2 && at > 0) {
      source += ".+";
      at += 2;
    } else if (stars > 0) {
      source += "[^/]*";
      at += stars;
    } else if (rest[0] === "?") {
      source += "[^/]";
      at += 1;
    } else if (rest[0] === "[") {
      const found = toClass(rest);
      if (found === undefined) return undefined;
      source += found.source;
      at += found.length;
    } else {
      const isEscape = rest[0] === "\\";
      const char = isEscape
        ? String.fromCodePoint(rest.codePointAt(1) ?? 0)
        : String.fromCodePoint(rest.codePointAt(0) ?? 0);
      if (isEscape && rest.length === 1) return undefined;
      source += escaped(char);
      at += char.length + (isEscape ? 1 : 0);
    }
  }
  return source;
}

const POSIX_CLASSES: Record<string, string> = {
  alnum: "A-Za-z0-9",
  alpha: "A-Za-z",
  blank: " \\t",
  digit: "0-9",
  lower: "a-z",
  space: "\\s",
  upper: "A-Z",
  xdigit: "A-Fa-f0-9",
};

/** A bracket expression at the start of `rest`; it never matches a slash. */
function toClass(rest: string): { source: string; length: number } | undefined {
  const negated = rest[1] === "!" || rest[1] === "^";
  let at = negated ? 2 : 1;
  let inside = "";
  for (let isFirst = true; ; isFirst = false) {
    const char = rest[at];
    if (char === undefined) return undefined;
    if (char === "]" && !isFirst) break;
    const posix = /^\[:([a-z]+):\]/.exec(rest.slice(at));
    if (posix?.[1]) {
      const members = POSIX_CLASSES[posix[1]];
      if (members === undefined) return undefined;
      inside += members;
      at += posix[0].length;
      continue;
    }
    const low = memberAt(rest, at);
    if (low === undefined) return undefined;
    const high = rest[low.next] === "-" && rest[low.next + 1] !== "]" ? memberAt(rest, low.next + 1) : undefined;
    if (high === undefined) {
      inside += escaped(low.char);
      at = low.next;
      continue;
    }
    // A range that runs backwards holds nothing.
    if (low.char <= high.char) inside += `${escaped(low.char)}-${escaped(high.char)}`;
    at = high.next;
  }
  if (inside === "") return { source: negated ? "[^/]" : "(?!)", length: at + 1 };
  return { source: negated ? `(?!/)[^${inside}]` : `(?!/)[${inside}]`, length: at + 1 };
}

function memberAt(rest: string, at: number): { char: string; next: number } | undefined {
  const from = rest[at] === "\\" ? at + 1 : at;
  const code = rest.codePointAt(from);
  if (code === undefined) return undefined;
  const char = String.fromCodePoint(code);
  return { char, next: from + char.length };
}

function escaped(char: string): string {
  if (char === "-") return "\\x2d"; // `\-` is an error outside of a class, and a bare one means a range inside
  return /[\\^$.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char;
}
