/** Finds the route of a request. Paths work with and without a trailing slash; never by a redirect. */
import type { Method, Route } from "./route.ts";

export interface Match {
  route: Route;
  params: Record<string, string>;
}

export interface Router {
  find(method: string, path: string): Match | undefined;
}

export function createRouter(routes: readonly Route[]): Router {
  // By method and number of segments; literal paths before those with parameters.
  const table = new Map<string, { route: Route; segments: string[] }[]>();
  for (const route of routes) {
    const segments = split(route.path);
    const key = keyOf(route.method, segments.length);
    table.set(key, [...(table.get(key) ?? []), { route, segments }]);
  }
  for (const list of table.values()) list.sort((a, b) => parameters(a.segments) - parameters(b.segments));

  return {
    find(method, path) {
      const segments = split(path);
      for (const { route, segments: wanted } of table.get(keyOf(method as Method, segments.length)) ?? []) {
        const params = match(wanted, segments);
        if (params) return { route, params };
      }
      return undefined;
    },
  };
}

/** Empty segments do not count: `//api/v0/x/` is `/api/v0/x`, which a base URL with a trailing slash sends. */
function split(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
}

function keyOf(method: Method, segments: number): string {
  return `${method} ${segments}`;
}

function parameters(segments: string[]): number {
  return segments.filter((segment) => segment.startsWith(":")).length;
}

function match(wanted: string[], segments: string[]): Record<string, string> | undefined {
  const params: Record<string, string> = {};
  for (const [index, segment] of wanted.entries()) {
    const value = segments[index] as string;
    if (segment.startsWith(":")) params[segment.slice(1)] = decodeURIComponent(value);
    else if (segment !== value) return undefined;
  }
  return params;
}
