package storetest

var leaseTests, restTests, togetherTests []test
