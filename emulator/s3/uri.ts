/** AWS's own percent-encoding, which is not JavaScript's: signatures and listings need it to the letter. */

/** Everything but `A-Z a-z 0-9 - . _ ~`, as UTF-8 in upper-case hex. */
export function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The same with slashes as they are. */
export function encodePath(path: string): string {
  return path.split("/").map(encode).join("/");
}

/** Decodes a path as a client sent it; undefined where that is not UTF-8. `+` is a plus sign here. */
export function decodePath(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

/** Names and values of a raw query in their order. A name without `=` has an empty value. `+` is a space here. */
export function parseQuery(raw: string): [string, string][] {
  if (raw === "") return [];
  return raw
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const at = pair.indexOf("=");
      const [name, value] = at === -1 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
      return [decodeQuery(name), decodeQuery(value)];
    });
}

function decodeQuery(text: string): string {
  return decodePath(text.replaceAll("+", "%20")) ?? text;
}
