// The same declarations for `require`.
import longwire = require('longwire');

export async function hello(): Promise<string> {
  const ws: longwire.Client = await longwire.connect('ws://localhost');
  const socket: longwire.WebSocket = new longwire.WebSocket('ws://localhost');
  return `${ws.state} ${socket.readyState}`;
}
