// What is usually done: Probot takes a webhook and one script puts it into Redis, once per delivery id.
import Redis from "ioredis";
import { run } from "probot";

const redis = new Redis({ path: process.env.REDIS_SOCKET });
redis.defineCommand("keep", {
  numberOfKeys: 2,
  lua: `if redis.call("SET", KEYS[1], ARGV[1], "NX", "EX", 691200) then redis.call("LPUSH", KEYS[2], ARGV[2]) end`,
});

await run((probot) => {
  probot.on("pull_request", async ({ id, payload }) => {
    await redis.keep(`delivery:${id}`, "deliveries", JSON.stringify(payload), id);
  });
});
