/** All routes of the market, one file per resource. */
import type { Route } from "../route.ts";
import { instanceRoutes } from "./instances.ts";
import { manageRoutes } from "./manage.ts";
import { offerRoutes } from "./offers.ts";
import { rentRoutes } from "./rent.ts";
import { sshKeyRoutes } from "./ssh-keys.ts";
import { userRoutes } from "./users.ts";

export function marketRoutes(): Route[] {
  return [...offerRoutes, ...rentRoutes, ...instanceRoutes, ...manageRoutes, ...sshKeyRoutes, ...userRoutes];
}
