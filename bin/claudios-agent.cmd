@echo off
"%~dp0holdfast.cmd" agent %*
