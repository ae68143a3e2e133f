// The same objects for `import`: there is one implementation, so that
// `instanceof` holds across both module systems.
import longwire from './index.js';

export const { connect, Client, WebSocket, CloseEvent, GiveUp, LongwireError, errorCodes } = longwire;
