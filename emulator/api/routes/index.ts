/** All routes of the market, one file per resource. */
import type { Route } from "../route.ts";
import { apiKeyRoutes } from "./api-keys.ts";
import { billingRoutes } from "./billing.ts";
import { commandRoutes } from "./commands.ts";
import { extraRoutes } from "./extras.ts";
import { instanceRoutes } from "./instances.ts";
import { manageRoutes } from "./manage.ts";
import { offerRoutes } from "./offers.ts";
import { rentRoutes } from "./rent.ts";
import { sshKeyRoutes } from "./ssh-keys.ts";
import { userRoutes } from "./users.ts";

/** Our own routes, which the real market has not: on loopback only. */
export { adminRoutes } from "./admin.ts";

/** A fresh table; each has its own memory of results, so listeners that must share it share the table. */
export function marketRoutes(): Route[] {
  return [
    ...offerRoutes,
    ...rentRoutes,
    ...instanceRoutes,
    ...manageRoutes,
    ...sshKeyRoutes,
    ...userRoutes,
    ...billingRoutes,
    ...apiKeyRoutes,
    ...commandRoutes(),
    ...extraRoutes,
  ];
}
