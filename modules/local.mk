# modules
include modules/memory/local.mk
include modules/fail/local.mk
include modules/debug/local.mk
include modules/unix/local.mk
