// Loaded into Heroku's command line before anything else: writes down where its sockets lead and which names it looks up.
"use strict";
const fs = require("node:fs");
const net = require("node:net");
const dns = require("node:dns");

const note = (word) => fs.appendFileSync(process.env.SOCKETS_FILE, `${word}\n`);

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  let [options, host] = args;
  if (Array.isArray(options)) [options] = options;
  if (typeof options === "number") note(`${typeof host === "string" ? host : "localhost"}:${options}`);
  else if (options && options.path && !options.port) note(`unix:${options.path}`);
  else if (options) note(`${options.host || "localhost"}:${options.port}`);
  return connect.apply(this, args);
};

const lookup = dns.lookup;
dns.lookup = function (name, ...args) {
  note(`name:${name}`);
  return lookup.call(this, name, ...args);
};
