// A small web app: says which version of the code answers.
const http = require('node:http')
const ms = require('ms')

const GREETING = 'Hello from the first version'

http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/plain')
  response.end(`${GREETING}\ncommit ${process.env.SOURCE_VERSION}\nup for ${ms(process.uptime() * 1000)}\n`)
}).listen(process.env.PORT)

process.on('SIGTERM', () => process.exit(0))
