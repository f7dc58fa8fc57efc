// Shortens the client's fixed pause of 30 seconds between polls; everything else stays as it is. For `node -r`.
['longRunningOperationInitialTimeout', 'longRunningOperationRetryTimeout'].forEach(function (name) {
  Object.defineProperty(Object.prototype, name, {
    get: function () { return 0.2; },
    set: function () {},
    configurable: true
  });
});
