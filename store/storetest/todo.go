package storetest

var recordTests, refTests, flowTests, deliveryTests, uploadTests, leaseTests, restTests, togetherTests []test
