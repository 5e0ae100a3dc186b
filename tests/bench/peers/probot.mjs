// What is usually done: Probot takes a webhook and one script puts it into Redis, once per delivery id.
import http from "node:http";
import Redis from "ioredis";
import { createNodeMiddleware, createProbot } from "probot";

const { PORT, REDIS_SOCKET } = process.env;
const redis = new Redis({ path: REDIS_SOCKET });
redis.defineCommand("keep", {
  numberOfKeys: 2,
  lua: `if redis.call("SET", KEYS[1], ARGV[1], "NX", "EX", 691200) then redis.call("LPUSH", KEYS[2], ARGV[2]) end`,
});

const app = (probot) => {
  probot.on("pull_request", async ({ id, payload }) => {
    await redis.keep(`delivery:${id}`, "deliveries", JSON.stringify(payload), id);
  });
};

const middleware = await createNodeMiddleware(app, { probot: createProbot(), webhooksPath: "/github/webhooks" });
const server = http.createServer(async (request, response) => {
  if (!(await middleware(request, response))) response.writeHead(404).end();
});
server.listen(Number(PORT), "127.0.0.1", () => console.log("ready"));
